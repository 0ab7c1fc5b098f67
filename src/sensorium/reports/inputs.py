"""What each input is worth, and how the model does without some of them."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup

from sensorium.evaluation.saved_scores import SavedScores, SavedTarget
from sensorium.metrics import Resamples, Value, distribution, metrics, point, summary
from sensorium.reports.evidence import Evidence
from sensorium.reports.facts import has_learned
from sensorium.reports.media import Media
from sensorium.reports.plots import Row, intervals, tone_by_chance
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


def sorted_contributions(figures: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The inputs of a target in metrics.json by name, the one that is worth most first."""
    # An input that is called "metric" has another key there.
    worths = {
        ("metric" if key == "metric (input)" else key): worth for key, worth in figures.items() if key != "metric"
    }
    return dict(sorted(worths.items(), key=lambda named: -(named[1].get("shapley", named[1]["alone"])["value"] or 0.0)))


def worth_sentence(figures: dict[str, Any], target: str) -> str | None:
    """Which input earns its keep, where the model has learned anything."""
    if has_learned(figures, target):
        return figures.get("sentences", {}).get(target)
    return "The decisions are not surely better than chance, so what an input is worth cannot be told."


def _target(name: str, evidence: Evidence, media: Media | None) -> dict[str, Any]:
    figures, scores = evidence.figures, evidence.scores
    metric = figures["inputs"][name]["metric"]
    complete = evidence.records is not None and scores is not None
    worths, learned = sorted_contributions(figures["inputs"][name]), has_learned(figures, name)
    decided = inputs_that_decided(scores.target(name), list(worths), evidence, media) if media and learned else []
    return {
        "name": name,
        "metric": metric,
        "sentence": worth_sentence(figures, name),
        "plots": _plots(metric, worths, figures["targets"][name][metric], learned),
        "records": int(scores.known(scores.target(name)).sum()) if complete else 0,
        "patterns": _patterns(scores.target(name), metric, evidence) if complete else None,
        "decided": decided,
    }


def _plots(metric: str, worths: dict[str, dict[str, Any]], all_inputs: dict[str, Any], learned: bool) -> list[Markup]:
    """The Shapley values, where there are any, and the metric with some inputs only."""
    axis, chance = metric_name(metric), all_inputs["chance"]
    shapley = {name: value_of(worth["shapley"]) for name, worth in worths.items() if "shapley" in worth}
    rows = [Row(name, value, _worth_tone(value) if learned else "quiet") for name, value in shapley.items()]
    plots = [intervals("Shapley value of each input", rows, f"{axis}, added", bars=True)] if rows else []
    values = {"all inputs": value_of(all_inputs)}
    if len(worths) > 1:
        values |= {f"only {name}": value_of(worth["alone"]) for name, worth in worths.items()}
    if len(worths) > 2:  # of two, without the one is only the other
        values |= {f"without {name}": value_of(worth["without"]) for name, worth in worths.items()}
    rows = [Row(name, value, tone_by_chance(value._replace(chance=chance))) for name, value in values.items()]
    return [*plots, intervals("With these inputs only", rows, axis, chance)]


def _worth_tone(value: Value) -> str | None:
    """Red for an input that does harm, grey for one that cannot be told from nothing."""
    if value.low is None or value.low <= 0 <= value.high:
        return "quiet"
    return "no" if value.high < 0 else None


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
