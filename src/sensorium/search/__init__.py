"""Search: a model's embeddings in a LanceDB table, asked by any of the model's inputs."""

from sensorium.search.index import Index
from sensorium.search.query import Hit

__all__ = ["Hit", "Index"]
