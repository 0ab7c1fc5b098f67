"""What happens to the decisions when an input is spoiled."""

from itertools import groupby

from markupsafe import Markup

from sensorium.evaluation.robustness import Curve
from sensorium.reports.evidence import Evidence
from sensorium.reports.plots import Line, lines
from sensorium.reports.render import Section, render
from sensorium.reports.values import metric_name


def curves(evidence: Evidence) -> Section:
    """The section."""
    targets = []
    for name, group in groupby(evidence.curves, key=lambda curve: curve.target):
        drawn = list(group)
        targets.append((name, drawn[0].metric, [_plot(curve) for curve in drawn]))
    most = max(curve.records for curve in evidence.curves)
    body = render("curves", targets=targets, most_records=most, learned=_learned(evidence))
    return Section("robustness", "When an input is spoiled", body)


def _learned(evidence: Evidence) -> bool:
    """Whether the saved model has learned from the records that were scored."""
    recipe = evidence.recipe
    held_out = recipe is None or recipe["data"]["test"] is not None or recipe["data"]["split"] is not None
    return not held_out and bool(recipe["training"]["refit"])


def _plot(curve: Curve) -> Markup:
    strengths = list(range(len(curve.values)))
    values, lows, highs = ([getattr(value, side) for value in curve.values] for side in ("value", "low", "high"))
    has_band = None not in (*lows, *highs)
    line = Line(curve.corruption, strengths, values, *((lows, highs) if has_band else ()))
    rules = [] if curve.without.value is None else [(f"without {curve.input}", curve.without.value)]
    labels = list(zip(strengths, curve.strengths, strict=True))
    return lines(f"{curve.input}: {curve.corruption}", [line], curve.unit, metric_name(curve.metric), labels, rules)
