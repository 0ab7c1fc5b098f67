"""What a search found, as a table to read."""

from typing import Any

from rich.table import Column
from rich.table import Table as Printed
from rich.text import Text

from sensorium.indexing.query import Hit

_LONGEST = 40  # characters of a cell that are shown


def printed(hits: list[Hit]) -> Printed:
    """A line a hit, best first: place, key, cosine, and the columns that any of them has."""
    columns = [name for name in (hits[0].columns if hits else ()) if any(hit.columns[name] is not None for hit in hits)]
    table = Printed("", "key", "score", *(Column(Text(name)) for name in columns))
    for place, hit in enumerate(hits, 1):
        table.add_row(
            str(place), Text(hit.key), f"{hit.score:.4f}", *(Text(_short(hit.columns[name])) for name in columns)
        )
    if not hits:
        table.caption = "No record is left by the filter."
    return table


def _short(value: Any) -> str:
    """A cell in few characters; nothing where it is absent."""
    shown = "" if value is None else f"{value:g}" if isinstance(value, float) else " ".join(str(value).split())
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
