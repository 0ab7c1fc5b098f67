"""What a look at a table found: one sentence each."""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import numpy as np

Severity = Literal["error", "warning", "note"]
SEVERITIES: dict[str, str] = {
    "error": "would stop fit",
    "warning": "would mislead the model or its score",
    "note": "worth knowing",
}
_SHOWN = 5


class Finding(NamedTuple):
    """One thing that is wrong or worth knowing.

    kind is a short name such as `constant-column`; column is '' when it is about whole records; rows count from 1 in
    the source; sentence says what, where, and what to do.
    """

    kind: str
    severity: Severity
    column: str
    rows: list[int]
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """The finding as JSON has it."""
        return self._asdict()


def listed(rows: Iterable[int]) -> str:
    """Rows as a sentence names them: `row 3`, `rows 3 and 7`, `rows 1, 2, 3, 4, 5 and 20 more`."""
    rows = [str(row) for row in rows]
    more = len(rows) - _SHOWN
    if len(rows) == 1:
        return f"row {rows[0]}"
    if more > 0:
        return f"rows {', '.join(rows[:_SHOWN])} and {more} more"
    return f"rows {', '.join(rows[:-1])} and {rows[-1]}"


def quoted(values: Iterable[Any], most: int = _SHOWN) -> str:
    """Values as a sentence names them, cut short: `'cat', 'Cat ' and 3 more`."""
    shown = [repr(text if len(text) <= 40 else f"{text[:37]}...") for text in map(str, values)]
    if len(shown) > most:
        return f"{', '.join(shown[:most])} and {len(shown) - most} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 record`, `2 records`; `many` where an s is not enough."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def at(rows: np.ndarray, where: np.ndarray) -> list[int]:
    """The rows, numbered as in the source, where `where` (bool [N], or int64 positions) says so."""
    return [int(row) for row in rows[where]]
