"""From what the user states and what the values say to a schema; every mistake in either is a sentence."""

from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from types import MappingProxyType

import numpy as np
import pandas as pd

from sensorium.data.columns.infer import Ambiguous, Guess, guess_input
from sensorium.data.columns.parse import is_missing
from sensorium.data.media import video
from sensorium.data.schema import STATED_KINDS, Column, Schema, TargetSpec, make_inputs
from sensorium.data.table import Table
from sensorium.data.targets import TARGETS, guess_target
from sensorium.errors import UserError, unknown

LISTENED = 20  # films that are opened to see whether a column of films has sound
Targets = str | list[str] | dict[str, str | None] | None


def infer_schema(
    table: Table,
    target: Targets,
    group: str | None,
    key: str | None,
    columns: dict[str, str],
    known: Mapping[str, Guess] = MappingProxyType({}),
    inputs: Collection[str] | None = None,
) -> Schema:
    """The schema of `table`, whose own is not looked at; `known` has what the source itself says of a column, which
    stands in the place of a guess; the rest is as in `read`. Raises UserError.
    """
    targets, stated = stated_roles(table, target, group, key, columns)
    _check_named(table, inputs or ())
    specs, described = [], []
    for name in table.frame.columns:
        values = table.frame[name].to_numpy()
        share = float(is_missing(values).mean())
        if name in targets:
            kind, reason = _target_kind(table, name, targets[name])
            specs.append(_target(table, name, kind))
            described.append(Column(name=name, kind="target", reason=reason, absent=share))
        elif inputs is not None and name not in inputs and stated.get(name) not in ("group", "key"):
            described.append(Column(name=name, kind="ignored", reason="it is none of the inputs", absent=share))
        else:
            said = known.get(name) if share < 1 and name not in stated else None
            kind, reason = said or _input_kind(table, name, stated.get(name), share)
            described.append(Column(name=name, kind=kind, reason=reason, absent=share))
    described = one_key(described, stated)
    specs.sort(key=lambda spec: list(targets).index(spec.name))
    schema = Schema(columns=described, inputs=make_inputs(described), targets=specs, **roles_of(described, stated))
    _check(table, schema)
    return schema


def stated_roles(
    table: Table, target: Targets, group: str | None, key: str | None, columns: dict[str, str]
) -> tuple[dict[str, str | None], dict[str, str]]:
    """By column, the stated kinds of the targets (None: to be guessed) and of the others."""
    targets = _named_targets(target)
    stated = {}
    roles = [(name, "group") for name in [group] if name] + [(name, "key") for name in [key] if name]
    for name, kind in [*roles, *columns.items()]:
        if name in targets and kind in TARGETS and targets[name] in (None, kind):
            targets[name] = kind
            continue
        if kind not in STATED_KINDS:
            _refuse_kind(name, kind)
        if name in targets or stated.get(name, kind) != kind:
            other = "the target" if name in targets else stated[name]
            raise UserError(f"Column '{name}' is stated to be both {other} and {kind}; leave one of the two out.")
        stated[name] = kind
    _check_named(table, [*targets, *stated])
    for role in ("group", "key"):
        several = [name for name, kind in stated.items() if kind == role]
        if len(several) > 1:
            raise UserError(
                f"Columns '{several[0]}' and '{several[1]}' are both stated to be the {role}; a table has one."
            )
    return targets, stated


def _check_named(table: Table, names: Iterable[str]) -> None:
    for name in names:
        if name not in table.frame.columns:
            raise UserError(f"{table.source}: {unknown('column', name, table.frame.columns)}")


def _named_targets(target: Targets) -> dict[str, str | None]:
    """By name, the stated kind of each target, or None."""
    if target is None:
        return {}
    named = dict(target) if isinstance(target, dict) else dict.fromkeys([target] if isinstance(target, str) else target)
    for kind in named.values():
        if kind is not None and kind not in TARGETS:
            raise unknown("kind of target", kind, TARGETS)
    return named


def _refuse_kind(name: str, kind: str) -> None:
    if kind in TARGETS:
        raise UserError(
            f"Column '{name}' is stated to be {kind}, a kind of target, but it is no target; add --target {name}."
        )
    raise unknown(f"kind of column (for '{name}')", kind, STATED_KINDS)


def _input_kind(table: Table, name: str, stated: str | None, share: float) -> Guess:
    values = table.frame[name].to_numpy()
    if stated == "group" and (found := pictures(values)) is not None:
        return found
    if stated in ("group", "key"):
        _check_role(table, name, stated)
    if stated and (share < 1 or stated == "ignored"):
        table.cells(name, stated)
        return Guess(stated, "stated")
    if not name.strip():
        return Guess("ignored", "it has no name")
    try:
        guess = guess_input(values)
    except Ambiguous as error:
        raise _ambiguous(table, name, error) from None
    return _with_sound(table, name, guess) if guess.kind == "video" else guess


def pictures(values: np.ndarray) -> Guess | None:
    """What a group column of paths of pictures is: an input as well, which several records share. None of another."""
    try:
        guess = guess_input(values)
    except Ambiguous:
        return None
    named = guess.kind == "image" and all(isinstance(value, str) for value in values[~is_missing(values)])
    return Guess("image", f"{guess.reason}; the group too") if named else None


def roles_of(described: list[Column], stated: dict[str, str]) -> dict[str, str | None]:
    """The names of the columns that are the `group` and the `key`, or None."""
    return {
        "group": next((name for name, kind in stated.items() if kind == "group"), None),
        "key": next((column.name for column in described if column.kind == "key"), None),
    }


def _with_sound(table: Table, name: str, guess: Guess) -> Guess:
    """Films, by whether any of the first that can be opened has a sound track."""
    films = islice((value for value in table.cells(name, "video") if value is not None), 10 * LISTENED)
    opened = (sounds for sounds in (_sounds(table, film) for film in films) if sounds is not None)
    sounding = list(islice(opened, LISTENED))
    if any(sounding):
        said = (
            f"{sum(sounding)} of the first {len(sounding)} have sound" if len(sounding) > 1 else "the first has sound"
        )
        return Guess("film", f"{guess.reason}; {said}")
    return Guess("video", f"{guess.reason}; none of the first {len(sounding)} has sound" if sounding else guess.reason)


def _sounds(table: Table, film: object) -> bool | None:
    """Whether a film has a sound track; None when it cannot be opened, which the scan will tell."""
    try:
        return video.has_audio(film, table.root)
    except ValueError:
        return None


def _target_kind(table: Table, name: str, stated: str | None) -> Guess:
    values = table.frame[name].to_numpy()
    if is_missing(values).all():
        raise UserError(
            f"The target '{name}' of {table.source} is absent in all {len(table)} rows;"
            " fill it in, or choose another target."
        )
    if stated:
        return Guess(stated, "stated")
    try:
        return guess_target(values)
    except Ambiguous as error:
        raise _ambiguous(table, name, error) from None


def _ambiguous(table: Table, name: str, error: Ambiguous) -> UserError:
    first, *others = error.kinds
    several = f" (or {', '.join(others)})" if others else ""
    return UserError(
        f"Column '{name}' of {table.source} is ambiguous: {error.reason}; state what it is with"
        f" --column '{name}={first}'{several}, in Python columns={{'{name}': '{first}'}}."
    )


def _target(table: Table, name: str, kind: str) -> TargetSpec:
    """The target with its labels. Raises UserError when there is nothing to tell apart."""
    cells = table.cells(name, kind)  # complains of a cell of another kind
    constant = TARGETS[kind].constant(cells)
    if constant is not None:
        raise UserError(
            f"The target '{name}' of {table.source} is {constant} in every row that has it;"
            " learning needs at least two values."
        )
    return TargetSpec(name=name, kind=kind, labels=list(TARGETS[kind].label_counts(cells)))


def one_key(columns: list[Column], stated: dict[str, str]) -> list[Column]:
    """Of the columns guessed to be keys the first whole one, when none is stated; the others are ignored."""
    free = "key" not in stated.values()
    kept = []
    for column in columns:
        if column.kind == "key" and column.name not in stated:
            if free and not column.absent:
                free = False
            else:
                column = column.model_copy(
                    update={"kind": "ignored", "reason": f"{column.reason}; state text or category to use it"}
                )
        kept.append(column)
    return kept


def _check_role(table: Table, name: str, role: str) -> None:
    gone = np.flatnonzero(is_missing(table.frame[name].to_numpy()))
    if len(gone):
        raise table.mistake(
            int(gone[0]),
            name,
            f"it is the {role} column, and {len(gone)} of {len(table)} rows have no value; fill it in",
        )
    if role == "key":
        cells = pd.Series(table.cells(name, "key"))
        again = np.flatnonzero(cells.duplicated())
        if len(again):
            first = int(np.flatnonzero(cells == cells[again[0]])[0])
            raise table.mistake(
                int(again[0]),
                name,
                f"the key '{cells[again[0]]}' already stands in row {table.rows[first]};"
                " each record needs a key of its own",
            )


def _check(table: Table, schema: Schema) -> None:
    if not schema.inputs:
        ignored = "; ".join(
            f"'{column.name}': {column.reason}" for column in schema.columns if column.kind in ("ignored", "key")
        )
        told = f" ({ignored})" if ignored else ""
        raise UserError(
            f"{table.source} has no column left to learn from{told};"
            " add one, or state its kind with --column NAME=KIND."
        )
    for spec in schema.inputs:
        for name in spec.columns:
            table.cells(name, schema.column(name).kind)
