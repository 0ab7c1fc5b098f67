"""Indexing: embeddings of many records in a LanceDB table, searched with a query by any of the model's inputs.

`Index` (index.py) holds a table (store.py) and the model whose vectors it stores. A source becomes records (source.py)
with columns to filter by (stored_columns.py); they are embedded (embedding.py) and written (building.py), LanceDB's
index is kept up to date (maintenance.py), and query.py searches. commands.py has the functions behind the verbs."""

from sensorium.indexing.index import Index
from sensorium.indexing.query import Hit

__all__ = ["Hit", "Index"]
