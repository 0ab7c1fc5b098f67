"""What becomes of the decisions when an input is spoiled."""

from itertools import groupby

from sensorium.errors import counted
from sensorium.evaluation.robustness import Curve
from sensorium.reports.evidence import Evidence
from sensorium.reports.markup import Html, element, joined
from sensorium.reports.page import Section, note, plots
from sensorium.reports.plots import Line, lines
from sensorium.reports.values import words

SEEN = "The saved model has learned from these records since they were scored, so the curves begin a little too high."


def curves(evidence: Evidence) -> Section:
    """The section."""
    parts = []
    for target, each in groupby(evidence.curves, key=lambda curve: curve.target):
        each = list(each)
        parts.append(element("h3", f"{target}, by {words(each[0].metric)}"))
        parts.append(plots(*map(_curve, each)))
    explained = (
        "Each curve spoils one input and leaves the others as they are; the band is the 95 % interval. Dashed: the same"
        " records without that input. A curve below it says that a spoiled input is worse than none."
    )
    count = max(curve.records for curve in evidence.curves)
    drawn = f"On {counted(count, 'record')} at most, drawn by chance."
    seen = [SEEN] if _learned(evidence) else []
    return Section("robustness", "When an input is spoiled", joined(note(explained, drawn, *seen), *parts))


def _learned(evidence: Evidence) -> bool:
    """Whether the saved model has learned from the records that were scored."""
    recipe = evidence.recipe
    held_out = recipe is None or recipe["data"]["test"] is not None or recipe["data"]["split"] is not None
    return not held_out and bool(recipe["training"]["refit"])


def _curve(curve: Curve) -> Html:
    at = list(range(len(curve.values)))
    values, lows, highs = ([getattr(one, side) for one in curve.values] for side in ("value", "low", "high"))
    known = all(one is not None for one in (*lows, *highs))
    line = Line(curve.corruption, at, values, lows if known else None, highs if known else None)
    rules = [] if curve.without.value is None else [("without it", curve.without.value)]
    labels = list(zip(at, curve.strengths, strict=True))
    return lines(f"{curve.input}: {curve.corruption}", [line], curve.unit, labels, rules)
