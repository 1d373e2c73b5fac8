"""Systems that answer held-out questions, and metrics of their answers."""
