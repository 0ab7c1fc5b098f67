"""Single records: the surest errors, and those in which one input decided."""

import numpy as np

from sensorium.errors import counted
from sensorium.evaluation.decided import Decided, decided
from sensorium.evaluation.inputs import format_number
from sensorium.evaluation.saved_scores import SavedScores, SavedTarget
from sensorium.metrics import exact_match
from sensorium.reports.evidence import Evidence
from sensorium.reports.markup import Html, element, joined, paragraphs
from sensorium.reports.media import Media, card, cards
from sensorium.reports.page import Section, note

ERRORS, HELPED, HURT = 12, 3, 2


def errors(evidence: Evidence, media: Media) -> Section:
    """The section of the surest errors."""
    parts = [_errors(target, evidence.scores, media) for target in evidence.scores.targets]
    return Section("errors", "The surest errors", joined(*parts))


def _errors(target: SavedTarget, scores: SavedScores, media: Media) -> Html:
    rows = surest(scores, target)
    if not len(rows):
        return joined(element("h3", target.name), paragraphs("Every decision is right."))
    said = {
        "class": "Wrong decisions, the most probable first.",
        "labels": "The records with the largest loss among those that are not decided in full.",
        "number": "The records that are furthest off.",
        "answer": "Answers that most people did not give, the most probable first.",
    }[target.kind]
    shown = [card(scores.keys[row], *media.shown(row), _said(scores, target, row, "all")) for row in rows[:ERRORS]]
    return joined(element("h3", target.name), note(f"{said} {counted(len(rows), 'record')} in all."), cards(shown))


def surest(scores: SavedScores, target: SavedTarget) -> np.ndarray:
    """int64: the rows, from 0 among the scored records, of the wrong decisions, the surest first."""
    rows = np.flatnonzero(scores.known(target))
    truth, given, loss = scores.truth(target), scores.prediction(target), scores.loss(target)
    if target.kind == "number":
        return rows[np.argsort(-loss, kind="stable")]
    if target.kind == "answer":
        places = np.flatnonzero(exact_match(truth, given["decision"]) == 0)
        return rows[places[np.argsort(-given["probability"][places], kind="stable")]]
    wrong = given["decision"] != truth["label" if target.kind == "class" else "labels"]
    sure = loss
    if target.kind == "class":
        sure = given["probabilities"][np.arange(len(rows)), given["decision"]]
    else:
        wrong = wrong.any(axis=1)
    places = np.flatnonzero(wrong)
    return rows[places[np.argsort(-sure[places], kind="stable")]]


def inputs_that_decided(target: SavedTarget, evidence: Evidence, media: Media) -> Html | None:
    """For each input: in how many records it decided, and some of them."""
    names = [spec.name for spec in evidence.schema.inputs]
    each = [decided(evidence.scores, target, name, names) for name in names] if len(names) > 1 else []
    parts = [_decided(one, target, evidence.scores, media) for one in each if one is not None]
    if not parts:
        return None
    return joined(element("h4", f"{target.name}: records in which one input decided"), *parts)


def _decided(one: Decided, target: SavedTarget, scores: SavedScores, media: Media) -> Html:
    good, bad = (
        ("right only with it", "wrong only with it")
        if target.kind != "number"
        else ("an error at least halved by it", "an error at least doubled by it")
    )
    said = (
        f"{one.input}: {good} in {counted(len(one.helped), 'record')} ({len(one.helped) / one.of:.1%}), {bad} in"
        f" {len(one.hurt):,} ({len(one.hurt) / one.of:.1%})."
    )
    rest = f"without {one.input}"
    rest = (
        rest
        if rest in scores.by_coalition
        else next(name for name in scores.by_coalition if name.startswith("only ") and name != f"only {one.input}")
    )
    shown = [
        card(f"{scores.keys[row]}: {word}", *media.shown(row), _said(scores, target, row, "all", rest))
        for word, rows in (("helped", one.helped[:HELPED]), ("hurt", one.hurt[:HURT]))
        for row in rows
    ]
    return element("details", element("summary", said), cards(shown) if shown else None)


def _said(scores: SavedScores, target: SavedTarget, row: int, *coalitions: str) -> Html:
    """The truth of a record, and what was decided with each set of inputs."""
    truth = scores.by_coalition["all"][target.name].iloc[row]
    parts = [element("dt", "true"), element("dd", _spelled(truth))]
    for name in coalitions:
        frame = scores.by_coalition[name]
        given = frame[f"{target.name}_decision"].iloc[row]
        right = given in set(truth) if target.kind == "answer" else _same(given, truth)
        said = _spelled(given)
        if target.kind == "class":
            said += f" ({frame[f'{target.name}_probability_{given}'].iloc[row]:.2f})"
        if target.kind == "answer":
            said += f" ({frame[f'{target.name}_probability'].iloc[row]:.2f})"
        kind = None if target.kind == "number" else "yes" if right else "no"
        parts += [element("dt", "decided" if name == "all" else name), element("dd", said, class_=kind)]
    return element("dl", *parts)


def _same(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray | list):
        return set(one) == set(other)
    return one == other


def _spelled(value: object) -> str:
    if isinstance(value, np.ndarray | list):
        return ", ".join(map(str, value)) or "none"
    return format_number(float(value)) if isinstance(value, float | np.floating) else str(value)
