"""Parsing of product names and attributes: head noun, constraints, sizes, synonyms."""
