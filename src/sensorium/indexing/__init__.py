"""Search: a model's embeddings in a LanceDB table, asked by any of the model's inputs."""

from sensorium.indexing.index import Index
from sensorium.indexing.query import Hit

__all__ = ["Hit", "Index"]
