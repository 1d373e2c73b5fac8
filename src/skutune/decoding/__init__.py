"""Constrained decoding: token masks enforce the answer format and restrict references to catalog products."""
