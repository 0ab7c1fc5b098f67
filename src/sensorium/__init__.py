"""Sensorium: train, judge and run models over text, images, audio and tables, any of them missing in any record.

Every name is loaded when it is first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sensorium.comparison.compare import compare
    from sensorium.data.read import read
    from sensorium.data.sources.published import table
    from sensorium.data.sources.write_shards import pack
    from sensorium.data.table import Table
    from sensorium.errors import RecordError, UserError
    from sensorium.evaluation.evaluate import evaluate
    from sensorium.evaluation.report import Report
    from sensorium.evaluation.zero_shot import ZeroShot
    from sensorium.explanation.answer import answer
    from sensorium.families.checkpoints import convert
    from sensorium.indexing.commands import index, search, unindex
    from sensorium.inference.classify import classify
    from sensorium.inference.predict import predict
    from sensorium.inference.write import write
    from sensorium.inspection.inspect import inspect
    from sensorium.model import Model, load
    from sensorium.reports.report import report
    from sensorium.runs.demo import demo
    from sensorium.runs.run import fit, pretrain
    from sensorium.tasks.base import Run

_MODULES = {
    "Model": "model",
    "RecordError": "errors",
    "Report": "evaluation.report",
    "Run": "tasks.base",
    "Table": "data.table",
    "UserError": "errors",
    "ZeroShot": "evaluation.zero_shot",
    "answer": "explanation.answer",
    "classify": "inference.classify",
    "compare": "comparison.compare",
    "convert": "families.checkpoints",
    "demo": "runs.demo",
    "evaluate": "evaluation.evaluate",
    "fit": "runs.run",
    "index": "indexing.commands",
    "inspect": "inspection.inspect",
    "load": "model",
    "pack": "data.sources.write_shards",
    "predict": "inference.predict",
    "pretrain": "runs.run",
    "read": "data.read",
    "report": "reports.report",
    "search": "indexing.commands",
    "table": "data.sources.published",
    "unindex": "indexing.commands",
    "write": "inference.write",
}
"""Where each public name is defined: one function for every verb, and what they give."""

__all__ = [
    "Model",
    "RecordError",
    "Report",
    "Run",
    "Table",
    "UserError",
    "ZeroShot",
    "answer",
    "classify",
    "compare",
    "convert",
    "demo",
    "evaluate",
    "fit",
    "index",
    "inspect",
    "load",
    "pack",
    "predict",
    "pretrain",
    "read",
    "report",
    "search",
    "table",
    "unindex",
    "write",
]


def __getattr__(name: str) -> Any:
    """A public name, imported now (PEP 562)."""
    if name == "__version__":
        return _version()
    if name not in _MODULES:
        raise AttributeError(f"module 'sensorium' has no attribute '{name}'")
    value = getattr(import_module(f"sensorium.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("sensorium")
    except PackageNotFoundError:
        return "0+unknown"
