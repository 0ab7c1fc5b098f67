"""What is odd about a table: one sentence each."""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np


class Numbered(Protocol):
    """Records by their numbers in the source, `rows`, int64 [N]."""

    rows: np.ndarray


Severity = Literal["error", "warning", "note"]
SEVERITIES: dict[str, str] = {
    "error": "would stop fit",
    "warning": "would mislead the model or its score",
    "note": "worth knowing",
}
_MOST_LISTED = 5


class Finding(NamedTuple):
    """A fault, or something worth knowing. kind is a short name such as `constant-column`; column is '' when it is
    about whole records; rows count from 1 in the source; sentence says what, where, and what to do."""

    kind: str
    severity: Severity
    column: str
    rows: list[int]
    sentence: str


def rows_where(table: Numbered, index: np.ndarray) -> list[int]:
    """The rows, numbered as in the source, of the records `index`: bool [N], or int64 positions."""
    return table.rows[index].tolist()


def cell_finding(
    table: Numbered, kind: str, column: str, where: np.ndarray, fault: str, remedy: str, severity: Severity = "warning"
) -> Finding:
    """The finding about the cells of a column in the records `where`, bool [N] or int64 positions."""
    rows = rows_where(table, where)
    return Finding(kind, severity, column, rows, f"Column '{column}' has {fault} in {list_rows(rows)}; {remedy}.")


def list_rows(rows: Iterable[int]) -> str:
    """Rows as a sentence names them: `row 3`, `rows 3 and 7`, `rows 1, 2, 3, 4, 5 and 20 more`."""
    names = [str(row) for row in rows]
    return f"row {names[0]}" if len(names) == 1 else f"rows {_enumerate(names)}"


def list_values(values: Iterable[Any]) -> str:
    """Values as a sentence names them, cut short: `'cat', 'Cat ' and 3 more`."""
    return _enumerate([repr(text if len(text) <= 40 else f"{text[:37]}...") for text in map(str, values)])


def _enumerate(names: list[str]) -> str:
    if len(names) > _MOST_LISTED:
        return f"{', '.join(names[:_MOST_LISTED])} and {len(names) - _MOST_LISTED} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
