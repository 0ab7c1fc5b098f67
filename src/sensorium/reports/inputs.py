"""The inputs' page: what each input is worth, and how the model does without some of them."""

from typing import Any

import numpy as np
import pandas as pd

from sensorium.evaluation.inputs import format_number
from sensorium.evaluation.printing import between
from sensorium.evaluation.saved_scores import SavedScores, SavedTarget
from sensorium.metrics import Resamples, Value, distribution, metrics, point, summary
from sensorium.reports.evidence import Evidence
from sensorium.reports.markup import Html, element, joined, paragraphs, table
from sensorium.reports.media import Media
from sensorium.reports.page import Section, note, plots
from sensorium.reports.plots import Row, intervals
from sensorium.reports.samples import inputs_that_decided
from sensorium.reports.values import value_of, words

FEWEST = 5  # records of a pattern that are scored by themselves
MOST = 20  # patterns that are listed


def inputs(evidence: Evidence, media: Media | None) -> Section:
    """The section."""
    parts = [_target(name, known, evidence, media) for name, known in evidence.figures["inputs"].items()]
    return Section("inputs", "What each input is worth", joined(*parts))


def named(known: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The inputs of a target in metrics.json, by name."""
    each = {name: worth for name, worth in known.items() if name != "metric"}
    return {("metric" if name == "metric (input)" else name): worth for name, worth in each.items()}


def _target(name: str, known: dict[str, Any], evidence: Evidence, media: Media | None) -> Html:
    metric, each = known["metric"], named(known)
    whole = evidence.figures["targets"][name][metric]
    shares = [
        Row(one, value_of(worth["shapley"]), _covers(worth["shapley"]))
        for one, worth in each.items()
        if "shapley" in worth
    ]
    rows = [Row("all inputs", value_of(whole))]
    for one, worth in each.items() if len(each) > 1 else ():
        rows += [Row(f"only {one}", value_of(worth["alone"])), Row(f"without {one}", value_of(worth["without"]))]
    if len(each) == 2:
        rows = [rows[0], rows[1], rows[3]]
    sentence = evidence.figures.get("sentences", {}).get(name)
    return joined(
        element("h3", name),
        paragraphs(*([sentence] if sentence else [])),
        plots(
            intervals(f"Shapley value of each input, in {words(metric)}", shares, bars=True) if shares else None,
            intervals(f"{words(metric)} with these inputs only", rows, whole["chance"]),
        ),
        note(
            "A Shapley value is what an input adds, averaged over all orders in which inputs can join; grey ones cannot"
            " be told from nothing. A record that lacks all inputs it may use gets the training prior. Dashed: chance."
        ),
        _patterns(name, metric, evidence),
        None if media is None else inputs_that_decided(evidence.scores.target(name), evidence, media),
    )


def _covers(known: dict[str, Any]) -> bool:
    return known["low"] is None or known["low"] <= 0 <= known["high"]


def _patterns(name: str, metric: str, evidence: Evidence) -> Html | None:
    """How the model does on the records that lack the same inputs."""
    if evidence.held is None or evidence.scores is None:
        return None
    scores = evidence.scores
    target = scores.target(name)
    specs = evidence.held.schema.inputs
    present = np.stack([evidence.held.present(spec) for spec in specs], axis=1)[scores.known(target)]  # [M, N]
    if present.all():
        return paragraphs("Every scored record has every input, so no pattern of missing ones was met.")
    lacking = [", ".join(spec.name for spec, has in zip(specs, row, strict=True) if not has) for row in present]
    counts = pd.Series(lacking).value_counts()
    rows = []
    for pattern, count in counts.head(MOST).items():
        value = measured(scores, target, metric, np.array(lacking) == pattern) if count >= FEWEST else None
        cells = ["too few", ""] if value is None else [format_number(value.value), between(value)]
        rows.append([pattern or "nothing", f"{count:,}", f"{count / len(lacking):.1%}", *cells])
    headers = ["what is missing", "records", "share", words(metric), "95 % interval"]
    return table(headers, rows, f"{name}: each pattern of missing inputs among the scored records")


def measured(scores: SavedScores, target: SavedTarget, metric: str, rows: np.ndarray, coalition: str = "all") -> Value:
    """A metric with its interval on some of the records that have the target, bool [M]."""
    truth, given = (
        {key: values[rows] for key, values in columns.items()}
        for columns in (scores.truth(target), scores.prediction(target, coalition))
    )
    groups = scores.groups
    clusters = None if groups is None else groups[scores.known(target)][rows]
    one, resamples = metrics(target.kind, truth, given)[metric], Resamples(int(rows.sum()), clusters)
    return summary(point(one, resamples.rows), distribution({"": one}, resamples)[""], resamples.units)
