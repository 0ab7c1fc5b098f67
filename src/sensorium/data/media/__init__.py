"""Media and other raw values: one file for each modality, which reads, checks and decodes a value, and their hashes."""
