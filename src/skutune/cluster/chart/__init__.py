"""The generated parts of the Helm chart: the schema of its values, the defaults, and the tables of its README."""
