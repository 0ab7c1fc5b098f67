"""Sensorium: train, judge and run models over text, images, audio and tables, any of them missing in any record.

Every name is loaded when it is first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sensorium.comparison.compare import compare
    from sensorium.data.read import read
    from sensorium.data.table import Table
    from sensorium.errors import RecordError, UserError
    from sensorium.evaluation import Report, ZeroShot
    from sensorium.evaluation import evaluate_task as evaluate
    from sensorium.model import Model, load
    from sensorium.runs.run import Run, fit, pretrain

_MODULES = {
    "Model": "sensorium.model",
    "RecordError": "sensorium.errors",
    "Report": "sensorium.evaluation",
    "Run": "sensorium.runs.run",
    "Table": "sensorium.data.table",
    "UserError": "sensorium.errors",
    "ZeroShot": "sensorium.evaluation",
    "compare": "sensorium.comparison.compare",
    "evaluate": "sensorium.evaluation.tasks",
    "fit": "sensorium.runs.run",
    "load": "sensorium.model",
    "pretrain": "sensorium.runs.run",
    "read": "sensorium.data.read",
}
"""Where each public name is defined."""

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


def __getattr__(name: str) -> Any:
    """A public name, imported now (PEP 562)."""
    if name == "__version__":
        return _version()
    if name not in _MODULES:
        raise AttributeError(f"module 'sensorium' has no attribute '{name}'")
    value = getattr(import_module(_MODULES[name]), "evaluate_task" if name == "evaluate" else name)
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
