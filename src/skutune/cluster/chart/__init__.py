"""What the Helm chart takes from the program: the schema of its values, defaults, and tables of its README."""
