"""Files of published data sets of images and texts, made tables: VQA v2, COCO, Visual Genome, NLVR2, Flickr8k."""

from sensorium.data.sources.published.table import table
from sensorium.data.sources.published.writing import write

__all__ = ["table", "write"]
