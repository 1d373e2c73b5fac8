"""skutune teaches an LLM a product catalog."""
