"""The errors a person can cause: each is one sentence that says what, where and what to do."""

import difflib
from collections.abc import Iterable

MOST_LISTED = 50  # names that a message lists whole
MOST_NAMES = 8  # names that it lists of more than that


class UserError(Exception):
    """A mistake that the person at the keyboard can mend. Its message is a sentence; the command line exits with 2."""


class RecordError(UserError):
    """A record that cannot be used.

    `row` counts the records of the table from 1, without a header line; `column` and `value` say where and what,
    `reason` says why.
    """

    def __init__(self, row: int, column: str, value: str, reason: str):
        super().__init__(
            f"Row {row}, column '{column}', {value}: {reason};"
            " mend it, or set such records aside with --bad-records skip."
        )
        self.row, self.column, self.value, self.reason = row, column, value, reason

    def __reduce__(self):
        return (RecordError, (self.row, self.column, self.value, self.reason))


def counted(count: int, what: str) -> str:
    """`count` with the word for what is counted, which takes an s when it is not one: "1 record", "2,000 records"."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def unknown(what: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that is none of `known`: names the nearest and lists all, or of very many those like it."""
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=MOST_NAMES)
    hint = f"; did you mean '{near[0]}'? Known" if near else "; known"
    shown = (
        f" ({len(known)}), among them: {', '.join(near or known[:MOST_NAMES])}"
        if len(known) > MOST_LISTED
        else f": {', '.join(known)}"
    )
    return UserError(f"There is no {what} '{name}'{hint}{shown}.")


def needs(package: str, extra: str) -> UserError:
    """The error for a package that an extra brings."""
    return UserError(f"This needs the package '{package}', which is not installed: pip install 'sensorium[{extra}]'.")
