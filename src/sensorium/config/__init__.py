"""A run's typed settings, their defaults and presets; YAML, Python and the command line are one call."""
