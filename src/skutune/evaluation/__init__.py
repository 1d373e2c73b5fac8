"""Base and tuned model on held-out questions: their answers, and what these are worth."""
