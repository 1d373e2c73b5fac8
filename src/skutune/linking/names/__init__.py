"""What the words of a product's name say: head noun, qualifiers, sizes, claims, attributes."""
