"""A deterministic engine and encoder that need no model: for tests, dry runs and the data path at full size."""
