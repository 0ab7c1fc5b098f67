"""What `index` did, in sentences, and what `search` returns, as a table to read."""

from typing import Any

from rich.table import Column
from rich.table import Table as PrintedTable
from rich.text import Text

from sensorium.console import shorten
from sensorium.errors import counted
from sensorium.indexing.query import Hit

_LONGEST = 40  # characters of a cell that are shown


def describe(summary: dict[str, Any]) -> list[str]:
    """The summary that `index` returns, a sentence a line."""
    records = counted(summary["records"], "record")
    lines = [f"{records} in {summary['out']}, {summary['embedded']:,} of them embedded now."]
    if summary["known"]:
        lines.append(f"{counted(summary['known'], 'record')} stood there already, from before the build was stopped.")
    if summary["absent"]:
        lines.append(f"{counted(summary['absent'], 'record')} without this input, so not in the index.")
    if summary["set_aside"]:
        lines.append(f"{counted(summary['set_aside'], 'record')} set aside; {summary['bad_records']} says why.")
    if summary["left_out"]:
        lines.append(f"Not kept to filter by: {', '.join(summary['left_out'])}.")
    way = summary["search"]
    if way["kind"] == "exact":
        return [*lines, "Searches are exact: all vectors are compared."]
    return [*lines, f"Searches go through LanceDB's index ({way['kind']}) and look into {way['probes']} partitions."]


def hits_table(hits: list[Hit], searched: int) -> PrintedTable:
    """A row for each hit of an index of `searched` records, best first: rank, key, cosine, and the columns that any of
    them has."""
    columns = [name for name in (hits[0].columns if hits else ()) if any(hit.columns[name] is not None for hit in hits)]
    table = PrintedTable("", "key", "score", *(Column(Text(name)) for name in columns))
    for rank, hit in enumerate(hits, 1):
        cells = (Text(_cell(hit.columns[name])) for name in columns)
        table.add_row(str(rank), Text(hit.key), f"{hit.score:.4f}", *cells)
    if not hits:
        table.caption = (
            "No record is left by the filter." if searched else "The index has no records; add some: index --add."
        )
    return table


def _cell(value: Any) -> str:
    return shorten(f"{value:g}" if isinstance(value, float) else value, _LONGEST)
