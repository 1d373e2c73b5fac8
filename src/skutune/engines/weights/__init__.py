"""Locates a model's weights on the hub, in a folder or in a store, and mirrors hub models to the store."""
