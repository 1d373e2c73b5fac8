"""skutune fine-tunes an LLM on a product catalog."""
