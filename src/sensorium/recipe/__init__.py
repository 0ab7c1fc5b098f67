"""A run: its typed configuration, and the function that carries it out."""
