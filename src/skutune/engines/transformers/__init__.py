"""A text engine over transformers: continuous batching, sampling and JSON grammars on one device."""
