"""Single records: the surest errors, and those in which one input decided."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from sensorium.data.targets.places import place_record
from sensorium.evaluation.columns import TARGET_COLUMNS
from sensorium.evaluation.decided import Decided, decided
from sensorium.evaluation.inputs import format_number
from sensorium.evaluation.saved_scores import SavedScores, SavedTarget
from sensorium.inference.places import draw_places
from sensorium.reports.evidence import Evidence
from sensorium.reports.media import Drawing, Media
from sensorium.reports.render import Section, render

MOST_ERRORS, MOST_HELPED, MOST_HURT = 12, 3, 2

GRADES = {True: "yes", False: "no", None: None}  # the style of a decision that is right, wrong, or neither
DecisionRow = tuple[str, str, str | None]  # label, text, grade


class Card(NamedTuple):
    """A record to show: its title, its inputs, what is true and what was decided; of speech, word over word."""

    title: str
    media: list[Markup]
    decisions: Sequence[DecisionRow] = ()
    alignment: str = ""


DecidedCards = tuple[Decided, tuple[str, str], list[Card]]


def errors(evidence: Evidence, media: Media) -> Section:
    """The section of the surest errors."""
    scores, targets = evidence.scores, []
    for target in scores.targets:
        rows = surest(scores, target)
        cards = [
            Card(
                scores.keys[row],
                media.of_record(row, _drawings(scores, target, row, media)),
                _decisions(scores, target, row, "all"),
                _alignment(evidence, target, row, media),
            )
            for row in rows[:MOST_ERRORS]
        ]
        targets.append((target.name, TARGET_COLUMNS[target.kind].wrong_decisions, len(rows), cards))
    return Section("errors", "The surest errors", render("errors", targets=targets))


def surest(scores: SavedScores, target: SavedTarget) -> np.ndarray:
    """int64: the rows, from 0 among the scored records, of the wrong decisions, the surest first."""
    truth, prediction, loss = scores.truth(target), scores.prediction(target), scores.loss(target)
    order = TARGET_COLUMNS[target.kind].wrong_order(truth, prediction, loss)
    return np.flatnonzero(scores.known(target))[order]


def inputs_that_decided(target: SavedTarget, names: list[str], evidence: Evidence, media: Media) -> list[DecidedCards]:
    """For each input, in the order of `names`: in how many records it decided, the words for its two effects, and some
    of the records."""
    if len(names) < 2:
        return []
    cases = [decided(evidence.scores, target, name, names) for name in names]
    return [_decided(case, target, evidence.scores, media) for case in cases if case is not None]


def _decided(case: Decided, target: SavedTarget, scores: SavedScores, media: Media) -> DecidedCards:
    cards = [
        Card(
            f"{scores.keys[row]}: {effect}", media.of_record(row), _decisions(scores, target, row, "all", case.without)
        )
        for effect, rows in (("helped", case.helped[:MOST_HELPED]), ("hurt", case.hurt[:MOST_HURT]))
        for row in rows
    ]
    return case, TARGET_COLUMNS[target.kind].effect_words, cards


def _decisions(scores: SavedScores, target: SavedTarget, row: int, *coalitions: str) -> list[DecisionRow]:
    """The truth of a record, and what was decided with each set of inputs."""
    kind, truth = TARGET_COLUMNS[target.kind], scores.by_coalition["all"][target.name].iloc[row]
    spell = getattr(kind, "spelled", _spelled)
    decisions: list[DecisionRow] = [("true", spell(truth), None)]
    for coalition in coalitions:
        record = scores.by_coalition[coalition].iloc[row]
        decision, probability = record[f"{target.name}_decision"], kind.probability_of(target.name, record)
        text = (
            "not written"
            if decision is None
            else spell(decision) + ("" if probability is None else f" ({probability:.2f})")
        )
        label = "decided" if coalition == "all" else coalition
        decisions.append((label, text, GRADES[kind.matches(decision, truth)]))
    return decisions


def _drawings(scores: SavedScores, target: SavedTarget, row: int, media: Media) -> dict[str, Drawing]:
    """By input, what draws true and written places into the picture of a record; none of a kind without places."""
    places_of = getattr(TARGET_COLUMNS[target.kind], "drawn", None)
    if places_of is None:
        return {}
    record = scores.by_coalition["all"].iloc[row]
    true, written = places_of(record[f"{target.name}_decision"], record[target.name])
    picture = next(spec.picture for spec in media.table.schema.targets if spec.name == target.name)

    def draw(pixels: np.ndarray) -> np.ndarray:
        size = pixels.shape[1], pixels.shape[0]
        true_records, records = ([place_record(place, size) for place in places] for places in (true, written))
        return np.asarray(draw_places(pixels, records, true_records))

    return {picture: draw}


def _alignment(evidence: Evidence, target: SavedTarget, row: int, media: Media) -> str:
    """Of a text that was written of a recording, the reference over it, word over word; empty of all others."""
    record = evidence.scores.by_coalition["all"].iloc[row]
    align, decision = getattr(TARGET_COLUMNS[target.kind], "alignment", None), record[f"{target.name}_decision"]
    if align is None or decision is None or not media.table.schema.inputs_of("audio"):
        return ""
    normalise = evidence.figures["written"][target.name].get("normalise", "none")
    return align(decision, list(record[target.name]), normalise)


def _spelled(value: Any) -> str:
    if isinstance(value, np.ndarray | list):
        return ", ".join(map(str, value)) or "none"
    return format_number(float(value)) if isinstance(value, float | np.floating) else str(value)
