"""Which products a query may mean: exact nearest neighbours and an inverted index over names."""
