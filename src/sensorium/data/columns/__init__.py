"""Columns of a table: how each kind of cell is parsed, and how a column's kind is inferred from its cells."""
