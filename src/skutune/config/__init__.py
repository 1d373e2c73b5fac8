"""The run's config: one YAML file, parsed once into pydantic models."""
