"""Sensorium: train, judge and run models over text, images, audio and tables, any of them missing in any record."""

from importlib.metadata import PackageNotFoundError, version

from sensorium.comparison import compare
from sensorium.data.table import Table, read
from sensorium.errors import RecordError, UserError
from sensorium.evaluation import Report, ZeroShot
from sensorium.evaluation import evaluate_task as evaluate
from sensorium.model import Model, load
from sensorium.runs.run import Run, fit, pretrain

try:
    __version__ = version("sensorium")
except PackageNotFoundError:
    __version__ = "0+unknown"

__all__ = [
    "Model",
    "RecordError",
    "Report",
    "Run",
    "Table",
    "UserError",
    "ZeroShot",
    "compare",
    "evaluate",
    "fit",
    "load",
    "pretrain",
    "read",
]
