"""The classifier over embedded texts: a shared projection and one prototype a product."""
