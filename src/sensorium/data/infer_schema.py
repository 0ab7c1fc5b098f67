"""From what the user states and what the values say to a schema; every mistake in either is a sentence."""

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice
from types import MappingProxyType

import numpy as np
import pandas as pd

from sensorium.data.columns.infer import Ambiguous, Guess, guess_input, guess_shared_pictures
from sensorium.data.columns.parse import is_missing
from sensorium.data.media import video
from sensorium.data.schema import STATED_KINDS, Column, Schema, TargetSpec, make_inputs
from sensorium.data.table import Table
from sensorium.data.targets import TARGETS, guess_target
from sensorium.errors import UserError, check_known, unknown

LISTENED = 20  # films that are opened to see whether a column of films has sound
Targets = str | list[str] | dict[str, str | None] | None
ColumnErrorCallback = Callable[[str, UserError], None]
"""Called with a column that cannot be understood, and the error that says why."""


def infer_schema(
    table: Table,
    target: Targets,
    group: str | None,
    key: str | None,
    columns: dict[str, str],
    source_kinds: Mapping[str, Guess] = MappingProxyType({}),
    inputs: Collection[str] | None = None,
    on_error: ColumnErrorCallback | None = None,
) -> Schema:
    """The schema of `table`, whose own is not read. `source_kinds` has what the source itself says of a column, which
    replaces a guess; the other arguments are those of `read`.

    on_error: called for each column that cannot be understood, which is then ignored with the error as its reason; the
    schema may be left without inputs. None: such a column, or a table without inputs, raises UserError. Raises
    UserError for a statement that does not fit the table in any case.
    """
    targets, stated_kinds = stated_roles(table, target, group, key, columns)
    _check_columns_exist(table, inputs or ())
    specs, described = [], []
    for name in table.frame.columns:
        absent = float(is_missing(table.frame[name].to_numpy()).mean())
        try:
            if name in targets:
                kind, reason = _target_kind(table, name, targets[name])
                specs.append(_target_spec(table, name, kind))
                kind = "target"
            elif inputs is not None and name not in inputs and stated_kinds.get(name) not in ("group", "key"):
                kind, reason = "ignored", "it is none of the inputs"
            else:
                source_kind = source_kinds.get(name) if absent < 1 and name not in stated_kinds else None
                kind, reason = source_kind or _input_kind(table, name, stated_kinds.get(name), absent)
        except UserError as error:
            kind, reason = "ignored", _report(name, error, on_error)
        described.append(Column(name=name, kind=kind, reason=reason, absent=absent))
    described = one_key(described, stated_kinds)
    specs.sort(key=lambda spec: list(targets).index(spec.name))
    schema = Schema(
        columns=described, inputs=make_inputs(described), targets=specs, **roles_of(described, stated_kinds)
    )
    if on_error is None:
        _check_inputs(table, schema)
    return _check_cells(table, schema, on_error)


def _report(name: str, error: UserError, on_error: ColumnErrorCallback | None) -> str:
    """Why the column is ignored, after `on_error` was called; without it, raises the error."""
    if on_error is None:
        raise error
    on_error(name, error)
    return str(error)


def stated_roles(
    table: Table, target: Targets, group: str | None, key: str | None, columns: dict[str, str]
) -> tuple[dict[str, str | None], dict[str, str]]:
    """By column, the stated kinds of the targets (None: to be guessed) and of all other columns."""
    targets = _named_targets(target)
    stated_kinds = {}
    roles = [(name, "group") for name in [group] if name] + [(name, "key") for name in [key] if name]
    for name, kind in [*roles, *columns.items()]:
        if name in targets and kind in TARGETS and targets[name] in (None, kind):
            targets[name] = kind
            continue
        if kind not in STATED_KINDS:
            _raise_for_kind(name, kind)
        if name in targets or stated_kinds.get(name, kind) != kind:
            first_kind = "the target" if name in targets else stated_kinds[name]
            raise UserError(f"Column '{name}' is stated to be both {first_kind} and {kind}; leave one of the two out.")
        stated_kinds[name] = kind
    _check_columns_exist(table, [*targets, *stated_kinds])
    for role in ("group", "key"):
        names = [name for name, kind in stated_kinds.items() if kind == role]
        if len(names) > 1:
            raise UserError(f"Columns '{names[0]}' and '{names[1]}' are both stated to be the {role}; a table has one.")
    return targets, stated_kinds


def _check_columns_exist(table: Table, names: Iterable[str]) -> None:
    for name in names:
        if name not in table.frame.columns:
            raise UserError(f"{table.source}: {unknown('column', name, table.frame.columns)}")


def _named_targets(target: Targets) -> dict[str, str | None]:
    """By name, the stated kind of each target, or None."""
    if target is None:
        return {}
    named = dict(target) if isinstance(target, dict) else dict.fromkeys([target] if isinstance(target, str) else target)
    for kind in named.values():
        if kind is not None:
            check_known(TARGETS, "kind of target", kind)
    return named


def _raise_for_kind(name: str, kind: str) -> None:
    if kind in TARGETS:
        raise UserError(
            f"Column '{name}' is stated to be {kind}, a kind of target, but it is no target; add --target {name}."
        )
    raise unknown(f"kind of column (for '{name}')", kind, STATED_KINDS)


def _input_kind(table: Table, name: str, stated_kind: str | None, absent: float) -> Guess:
    """The kind of a column that is no target. absent: the share of the rows that lack it. Raises UserError."""
    values = table.frame[name].to_numpy()
    if stated_kind == "group" and (shared_pictures := guess_shared_pictures(values)) is not None:
        return shared_pictures
    if stated_kind in ("group", "key"):
        _check_role(table, name, stated_kind)
    if stated_kind and (absent < 1 or stated_kind == "ignored"):
        table.cells(name, stated_kind)
        return Guess(stated_kind, "stated")
    if not name.strip():
        return Guess("ignored", "it has no name")
    try:
        guess = guess_input(values)
    except Ambiguous as error:
        raise _ambiguity_error(table, name, error) from None
    return _video_or_film(table, name, guess) if guess.kind == "video" else guess


def roles_of(described: list[Column], stated_kinds: dict[str, str]) -> dict[str, str | None]:
    """The names of the columns that are the `group` and the `key`, or None."""
    ignored = {column.name for column in described if column.kind == "ignored"}
    return {
        "group": next((name for name, kind in stated_kinds.items() if kind == "group" and name not in ignored), None),
        "key": next((column.name for column in described if column.kind == "key"), None),
    }


def _video_or_film(table: Table, name: str, guess: Guess) -> Guess:
    """Films, by whether any of the first that can be opened has a sound track."""
    films = islice((value for value in table.cells(name, "video") if value is not None), 10 * LISTENED)
    opened = (sounds for sounds in (_has_sound(table, film) for film in films) if sounds is not None)
    sounding = list(islice(opened, LISTENED))
    if any(sounding):
        evidence = (
            f"{sum(sounding)} of the first {len(sounding)} have sound" if len(sounding) > 1 else "the first has sound"
        )
        return Guess("film", f"{guess.reason}; {evidence}")
    return Guess("video", f"{guess.reason}; none of the first {len(sounding)} has sound" if sounding else guess.reason)


def _has_sound(table: Table, film: object) -> bool | None:
    """Whether a film has a sound track; None when it cannot be opened, which the scan reports."""
    try:
        return video.has_audio(film, table.root)
    except ValueError:
        return None


def _target_kind(table: Table, name: str, stated_kind: str | None) -> Guess:
    """The kind of a target, stated or guessed. Raises UserError for an ambiguous or empty column."""
    values = table.frame[name].to_numpy()
    if is_missing(values).all():
        raise UserError(
            f"The target '{name}' of {table.source} is absent in all {len(table)} rows;"
            " fill it in, or choose another target."
        )
    if stated_kind:
        return Guess(stated_kind, "stated")
    try:
        return guess_target(values)
    except Ambiguous as error:
        raise _ambiguity_error(table, name, error) from None


def _ambiguity_error(table: Table, name: str, error: Ambiguous) -> UserError:
    first, *alternatives = error.kinds
    listed = f" (or {', '.join(alternatives)})" if alternatives else ""
    return UserError(
        f"Column '{name}' of {table.source} is ambiguous: {error.reason}; state what it is with"
        f" --column '{name}={first}'{listed}, in Python columns={{'{name}': '{first}'}}."
    )


def _target_spec(table: Table, name: str, kind: str) -> TargetSpec:
    """The target with its labels. Raises UserError when there is nothing to tell apart."""
    cells = table.cells(name, kind)  # raises UserError for a cell of another kind
    constant = TARGETS[kind].constant(cells)
    if constant is not None:
        raise UserError(
            f"The target '{name}' of {table.source} is {constant} in every row that has it;"
            " learning needs at least two values."
        )
    return TargetSpec(name=name, kind=kind, labels=list(TARGETS[kind].label_counts(cells)))


def one_key(columns: list[Column], stated_kinds: dict[str, str]) -> list[Column]:
    """The columns with one key at most: the stated one, or else the first guessed one that no row lacks. The other
    columns that were guessed to be keys are ignored.
    """
    has_key = "key" in stated_kinds.values()
    columns_with_key = []
    for column in columns:
        if column.kind == "key" and column.name not in stated_kinds:
            if has_key or column.absent:
                column = column.model_copy(
                    update={"kind": "ignored", "reason": f"{column.reason}; state text or category to use it"}
                )
            else:
                has_key = True
        columns_with_key.append(column)
    return columns_with_key


def _check_role(table: Table, name: str, role: str) -> None:
    absent = np.flatnonzero(is_missing(table.frame[name].to_numpy()))
    if len(absent):
        raise table.mistake(
            int(absent[0]),
            name,
            f"it is the {role} column, and {len(absent)} of {len(table)} rows have no value; fill it in",
        )
    if role == "key":
        cells = pd.Series(table.cells(name, "key"))
        repeated = np.flatnonzero(cells.duplicated())
        if len(repeated):
            first = int(np.flatnonzero(cells == cells[repeated[0]])[0])
            raise table.mistake(
                int(repeated[0]),
                name,
                f"the key '{cells[repeated[0]]}' already stands in row {table.rows[first]};"
                " each record needs a key of its own",
            )


def _check_inputs(table: Table, schema: Schema) -> None:
    """Raises UserError when no column is an input, with the reason for each."""
    if not schema.inputs:
        ignored = "; ".join(
            f"'{column.name}': {column.reason}" for column in schema.columns if column.kind in ("ignored", "key")
        )
        reasons = f" ({ignored})" if ignored else ""
        raise UserError(
            f"{table.source} has no column left to learn from{reasons};"
            " add one, or state its kind with --column NAME=KIND."
        )


def _check_cells(table: Table, schema: Schema, on_error: ColumnErrorCallback | None) -> Schema:
    """The schema with each input column ignored of which a cell is of another kind; without `on_error` raises."""
    for spec in schema.inputs:
        for name in spec.columns:
            try:
                table.cells(name, schema.column(name).kind)
            except UserError as error:
                schema = schema.ignoring(name, _report(name, error, on_error))
    return schema
