"""A deterministic text engine and encoder without a model, for tests, dry runs and full-size data path runs."""
