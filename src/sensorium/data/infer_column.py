"""What one column of a table is, how its cells are read, and what is odd about it."""

import re
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

import numpy as np
import pandas as pd

from sensorium.data.columns.dates import has_hours, parse_dates
from sensorium.data.columns.infer import Ambiguous, Guess, guess_input, guess_shared_pictures
from sensorium.data.columns.parse import holds_dates, holds_numbers, is_missing, numbers, objects
from sensorium.data.columns.reading import Reading, Written, as_meant, convert, infer_reading, respelled
from sensorium.data.columns.spelling import common_spellings
from sensorium.data.finding import Finding, cell_finding
from sensorium.data.media import video
from sensorium.data.schema import TargetSpec
from sensorium.data.table import Table
from sensorium.data.targets import TARGETS, guess_target

LISTENED = 20  # films that are opened to see whether a column of films has sound
_INDEX = re.compile(r"Unnamed: \d+|__index_level_\d+__|index|level_\d+|row\.?names|rownames|X")
Report = Callable[[Finding], None]
"""Called with each thing that is odd about a column; a finding of severity "error" would stop fit."""


class Inferred(NamedTuple):
    """A column: what it is and why, how its cells are read, and for a target its labels."""

    guess: Guess
    reading: Reading | None = None
    target: TargetSpec | None = None


def infer_input(
    table: Table, name: str, stated_kind: str | None, source_kind: Guess | None, report: Report
) -> Inferred:
    """What a column is that is no target, and how its cells are read."""
    values = table.frame[name].to_numpy()
    if is_missing(values).all():
        return Inferred(
            Guess("ignored", "stated" if stated_kind == "ignored" else f"all {len(values)} values are absent")
        )
    if stated_kind == "group" and (shared_pictures := guess_shared_pictures(values)) is not None:
        return Inferred(shared_pictures)
    written = infer_reading(values)
    if stated_kind in ("group", "key") and (fault := _role_fault(table, name, stated_kind)):
        report(fault)
        return Inferred(Guess("ignored", fault.sentence))
    if stated_kind or source_kind:
        guess = source_kind if stated_kind is None else Guess(stated_kind, "stated")
    elif not name.strip() or (_INDEX.fullmatch(name) and _numbers_rows(values)):
        guess = Guess("ignored", "it has no name" if not name.strip() else "an index that was saved with the table")
    elif written.reading.holds == "date":
        guess = Guess("date", "its values are dates")
    else:
        meant = as_meant(values, written.reading)
        if written.reading.holds == "number":
            meant = objects([None if isinstance(cell, str) else cell for cell in meant])
        guess = _guess_or_likelier(table, name, meant, report)
    if guess.kind == "video" and source_kind is None and stated_kind is None:
        guess = _video_or_film(table, name, guess)
    return Inferred(guess, _reading_of(table, name, guess.kind, written, report))


def _guess_or_likelier(table: Table, name: str, values: np.ndarray, report: Report) -> Guess:
    """The guess; where the values do not say, the likeliest kind, which is reported."""
    try:
        return guess_input(values)
    except Ambiguous as error:
        likelier, *others = error.kinds
        verdict = "is left out" if likelier == "ignored" else f"is read as {likelier}"
        sentence = (
            f"Column '{name}' {verdict}: {error.reason}; --column '{name}={likelier}' confirms that,"
            f" {' or '.join(others)} in its place reads it otherwise."
        )
        report(Finding("ambiguous-column", "warning", name, [], sentence))
        return Guess(likelier, f"likeliest: {error.reason}")


def _reading_of(table: Table, name: str, kind: str, written: Written, report: Report) -> Reading | None:
    """How the cells of a column of this kind are read, after what is odd in how they are written was reported."""
    reading = written.reading
    values = table.frame[name].to_numpy()
    if kind in ("ignored", "key"):
        return None
    if holds_numbers(kind):
        reading = reading.model_copy(update={"holds": "number", "placeholders": "all"})
    elif holds_dates(kind):
        hours = has_hours(parse_dates(values, reading.day_first))
        reading = reading.model_copy(update={"holds": "date", "placeholders": "all", "hours": hours})
    else:
        reading = Reading(placeholders=reading.placeholders)
    for fault in written.faults:
        if fault.kind == "placeholder" or reading.holds:
            report(cell_finding(table, fault.kind, name, fault.where, fault.words, fault.remedy))
    if kind in ("category", "group"):
        names, _ = convert(values, kind, reading)
        counts = pd.Series(names[~is_missing(names)]).value_counts().to_dict()
        variants = common_spellings(counts)
        if variants:
            report(_spelling_finding(table, name, names, variants))
        if variants or kind == "category":
            reading = reading.model_copy(update={"values": [label for label in counts if label not in variants]})
    return None if reading == Reading() else reading


def _spelling_finding(table: Table, name: str, cells: np.ndarray, variants: dict[str, str]) -> Finding:
    spelled = ([cell] if isinstance(cell, str) else cell or () for cell in cells)
    where = np.array([not variants.keys().isdisjoint(names) for names in spelled])
    examples = ", ".join(f"{rare!r} as {common!r}" for rare, common in list(variants.items())[:3])
    fault = f"other spellings of a value ({examples})"
    return cell_finding(table, "spelling", name, where, fault, "they are read as one", "note")


def _numbers_rows(values: np.ndarray) -> bool:
    """Whether the cells are different whole numbers."""
    parsed = numbers(values)
    return bool((parsed == np.round(parsed)).all() and len(pd.unique(parsed)) == len(parsed))


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


def infer_target(table: Table, name: str, stated_kind: str | None, report: Report) -> Inferred:
    """A target with its kind, stated or guessed, and its labels; ignored, after a report, where none can be learned."""
    values = table.frame[name].to_numpy()
    if is_missing(values).all():
        sentence = (
            f"The target '{name}' of {table.source} is absent in all {len(table)} rows; fill it in, or choose another"
            " target."
        )
        return _unlearnable("empty-target", name, sentence, report)
    written = infer_reading(values)
    meant = as_meant(values, written.reading) if written.reading.holds == "number" else values
    try:
        guess = Guess(stated_kind, "stated") if stated_kind else guess_target(meant)
    except Ambiguous as error:
        return _unlearnable("ambiguous-column", name, _ambiguity_sentence(table, name, error), report)
    kind, reading = TARGETS[guess.kind], None
    cells, wrong = kind.convert(meant)
    if cells.dtype != object:
        reading = written.reading
    elif meant is not values:  # names stay as they are written
        reading = Reading(placeholders="all")
        cells, wrong = kind.convert(as_meant(values, reading))
    for fault in written.faults:
        if reading is not None and (reading.holds or fault.kind == "placeholder"):
            report(cell_finding(table, fault.kind, name, fault.where, fault.words, fault.remedy))
    if wrong:
        row, reason = wrong[0]
        reason = f"{values[row]!r:.60} cannot be read as {guess.kind}: {reason}; mend it or leave it empty"
        return _unlearnable("wrong-kind", name, str(table.mistake(row, name, reason)), report)
    variants = common_spellings(kind.label_counts(cells))
    if variants:
        report(_spelling_finding(table, name, cells, variants))
        cells = respelled(cells, [label for label in kind.label_counts(cells) if label not in variants])
    constant = kind.constant(cells)
    if constant is not None:
        sentence = (
            f"The target '{name}' of {table.source} is {constant} in every row that has it; learning needs at least two"
            " values."
        )
        return _unlearnable("constant-target", name, sentence, report)
    spec = TargetSpec(name=name, kind=guess.kind, labels=list(kind.label_counts(cells)))
    return Inferred(Guess("target", guess.reason), reading, spec)


def _unlearnable(kind: str, name: str, sentence: str, report: Report) -> Inferred:
    report(Finding(kind, "error", name, [], sentence))
    return Inferred(Guess("ignored", sentence))


def _ambiguity_sentence(table: Table, name: str, error: Ambiguous) -> str:
    first, *alternatives = error.kinds
    listed = f" (or {', '.join(alternatives)})" if alternatives else ""
    return (
        f"Column '{name}' of {table.source} is ambiguous: {error.reason}; state what it is with"
        f" --column '{name}={first}'{listed}, in Python columns={{'{name}': '{first}'}}."
    )


def _role_fault(table: Table, name: str, role: str) -> Finding | None:
    """Absent cells of a group or key column, and keys that several records share."""
    values = table.frame[name]
    absent = np.flatnonzero(is_missing(values.to_numpy()))
    if len(absent):
        reason = f"it is the {role} column, and {len(absent)} of {len(table)} rows have no value; fill it in"
        rows = table.rows[absent].tolist()
        return Finding(f"{role}-without-value", "error", name, rows, str(table.mistake(int(absent[0]), name, reason)))
    cells = pd.Series(table.cells(name, role))
    repeated = np.flatnonzero(cells.duplicated()) if role == "key" else []
    if not len(repeated):
        return None
    first = int(np.flatnonzero(cells == cells[repeated[0]])[0])
    reason = (
        f"the key '{cells[repeated[0]]}' already stands in row {table.rows[first]}; each record needs a key of its own"
    )
    rows = table.rows[cells.duplicated(keep=False).to_numpy()].tolist()
    return Finding("repeated-key", "error", name, rows, str(table.mistake(int(repeated[0]), name, reason)))
