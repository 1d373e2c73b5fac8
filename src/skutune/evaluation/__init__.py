"""Ways of answering on held-out questions, and what their answers are worth."""
