"""The errors a person can cause: each is one sentence that says what, where and what to do."""

import difflib
from collections.abc import Collection, Iterable

MOST_LISTED = 50  # known names: up to so many, a message lists all
MOST_NAMES = 8  # of more than that it lists so many
MOST_LETTERS, _LAST_LETTERS = 2000, 400  # of a message, and of its end where it is cut
_NO_CONTROL = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)], "\N{REPLACEMENT CHARACTER}")

# What other tools call an option.
PEERS_WORDS = {
    "label": "target", "y": "target", "time_limit": "budget", "timeout": "budget", "presets": "preset",
    "lr": "learning_rate", "batch": "batch_size", "num_workers": "workers", "random_state": "seed",
    "max_epochs": "epochs", "num_epochs": "epochs", "test_size": "test", "output": "out", "path": "out",
    "groups": "group", "id": "key", "column_types": "columns", "verbosity": "quiet",
}  # fmt: skip


class UserError(Exception):
    """A mistake that the user can correct. Its message is a sentence that a person can read, however long the names
    and values in it are; the command line exits with 2.
    """

    def __init__(self, message: str):
        if len(message) > MOST_LETTERS:
            message = f"{message[: MOST_LETTERS - _LAST_LETTERS]} ... {message[-_LAST_LETTERS:]}"
        super().__init__(message)


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


def printable(text: str) -> str:
    """`text` without the characters that a terminal acts on, other than tabs and line ends."""
    return text.translate(_NO_CONTROL)


def counted(count: int, what: str) -> str:
    """`count` with the word for what is counted, which takes an s when it is not one: "1 record", "2,000 records"."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def unknown(what: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that is not in `known`: it suggests the nearest name and lists all, or the near ones of very
    many.
    """
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=MOST_NAMES)
    hint = f"; did you mean '{near[0]}'? Known" if near else "; known"
    listing = (
        f" ({len(names)}), among them: {', '.join(near or names[:MOST_NAMES])}"
        if len(names) > MOST_LISTED
        else f": {', '.join(names)}"
    )
    return UserError(f"There is no {what} '{name}'{hint}{listing}.")


def check_known(known: Collection[str], what: str, name: str) -> None:
    """Raises UserError when `name` is not in `known`; `what` says what kind of thing has that name, "input" for one."""
    if name not in known:
        raise unknown(what, name, known)


def lookup(known: dict[str, type], what: str, name: str) -> type:
    """The class that `known` has under `name`. Raises UserError for a name that it does not have."""
    check_known(known, what, name)
    return known[name]


def needs(package: str, extra: str) -> UserError:
    """The error for a package that an extra brings."""
    return UserError(f"This needs the package '{package}', which is not installed: pip install 'sensorium[{extra}]'.")
