"""What each input is worth, and how the model does without some of them."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup

from sensorium.evaluation.saved_scores import SavedScores, SavedTarget
from sensorium.metrics import Resamples, Value, distribution, metrics, point, summary
from sensorium.reports.evidence import Evidence
from sensorium.reports.media import Media
from sensorium.reports.plots import Row, intervals
from sensorium.reports.render import Section, render
from sensorium.reports.samples import inputs_that_decided
from sensorium.reports.values import metric_name, value_of

FEWEST_RECORDS = 5  # of a pattern that is scored by itself
MOST_PATTERNS = 20


class Pattern(NamedTuple):
    """Records that lack the same inputs: which, how many records, their metric; None where they are too few."""

    missing: str
    records: int
    value: Value | None


def inputs(evidence: Evidence, media: Media | None) -> Section:
    """The section."""
    targets = [_target(name, evidence, media) for name in evidence.figures["inputs"]]
    return Section("inputs", "What each input is worth", render("inputs", targets=targets))


def contributions(figures: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The inputs of a target in metrics.json, by name."""
    # An input that is called "metric" has another key there.
    return {("metric" if key == "metric (input)" else key): worth for key, worth in figures.items() if key != "metric"}


def _target(name: str, evidence: Evidence, media: Media | None) -> dict[str, Any]:
    figures, scores = evidence.figures, evidence.scores
    metric = figures["inputs"][name]["metric"]
    complete = evidence.records is not None and scores is not None
    return {
        "name": name,
        "metric": metric,
        "sentence": figures.get("sentences", {}).get(name),
        "plots": _plots(metric, contributions(figures["inputs"][name]), figures["targets"][name][metric]),
        "records": int(scores.known(scores.target(name)).sum()) if complete else 0,
        "patterns": _patterns(scores.target(name), metric, evidence) if complete else None,
        "decided": inputs_that_decided(scores.target(name), evidence, media) if media else [],
    }


def _plots(metric: str, worths: dict[str, dict[str, Any]], all_inputs: dict[str, Any]) -> list[Markup]:
    """The Shapley values, where there are any, and the metric with some inputs only."""
    shapley = {name: value_of(worth["shapley"]) for name, worth in worths.items() if "shapley" in worth}
    rows = [Row(name, value, value.low is None or value.low <= 0 <= value.high) for name, value in shapley.items()]
    title = f"Shapley value of each input, in {metric_name(metric)}"
    plots = [intervals(title, rows, bars=True)] if rows else []
    rows = [Row("all inputs", value_of(all_inputs))]
    if len(worths) > 1:
        for name, worth in worths.items():
            rows += [Row(f"only {name}", value_of(worth["alone"])), Row(f"without {name}", value_of(worth["without"]))]
    if len(worths) == 2:  # without the one is only the other
        rows = [rows[0], rows[1], rows[3]]
    return [*plots, intervals(f"{metric_name(metric)} with these inputs only", rows, all_inputs["chance"])]


def _patterns(target: SavedTarget, metric: str, evidence: Evidence) -> list[Pattern]:
    """How the model does on the records that lack the same inputs; empty where none lacks any."""
    scores, specs = evidence.scores, evidence.records.schema.inputs
    present = np.stack([evidence.records.present(spec) for spec in specs], axis=1)[scores.known(target)]  # [M, N]
    if present.all():
        return []
    missing = pd.Series(
        [", ".join(spec.name for spec, has in zip(specs, row, strict=True) if not has) for row in present]
    )
    lacking = []
    for name, count in missing.value_counts().head(MOST_PATTERNS).items():
        rows = (missing == name).to_numpy()
        value = _metric_of(scores, target, metric, rows) if count >= FEWEST_RECORDS else None
        lacking.append(Pattern(str(name), count, value))
    return lacking


def _metric_of(scores: SavedScores, target: SavedTarget, metric: str, rows: np.ndarray) -> Value:
    """A metric with its interval on some of the records that have the target, bool [M]."""
    truth, prediction = (
        {key: values[rows] for key, values in columns.items()}
        for columns in (scores.truth(target), scores.prediction(target))
    )
    groups = scores.groups
    clusters = None if groups is None else groups[scores.known(target)][rows]
    measure, resamples = metrics(target.kind, truth, prediction)[metric], Resamples(int(rows.sum()), clusters)
    return summary(point(measure, resamples.rows), distribution({"": measure}, resamples)[""], resamples.units)
