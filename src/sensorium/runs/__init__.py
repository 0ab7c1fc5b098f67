"""A run, from its settings to its folder: `pipeline.py` reads top to bottom as its numbered steps."""
