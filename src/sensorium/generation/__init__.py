"""Writing a sequence step by step: a search over the steps of any decoder."""
