"""The errors a person can cause: each is one sentence that says what, where and what to do."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the person at the keyboard can mend. Its message is one sentence; the command line exits with 2."""


class RecordError(UserError):
    """A record that cannot be used.

    `row` counts the records of the table from 1, without a header line; `column` and `value` say where and what; `reason` says why.
    """

    def __init__(self, row: int, column: str, value: str, reason: str):
        super().__init__(f"Row {row}, column '{column}', {value}: {reason}; mend it, or set such records aside with --bad-records skip.")
        self.row, self.column, self.value, self.reason = row, column, value, reason

    def __reduce__(self):
        return (RecordError, (self.row, self.column, self.value, self.reason))


def unknown(what: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that is none of `known`: names the nearest one and lists them all."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ";"
    return UserError(f"There is no {what} '{name}'{hint} Known: {', '.join(known)}.")


def needs(package: str, extra: str) -> UserError:
    """The error for a package that an extra brings."""
    return UserError(f"This needs the package '{package}', which is not installed: pip install 'sensorium[{extra}]'.")
