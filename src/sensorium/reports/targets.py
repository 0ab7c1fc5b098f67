"""How good the decisions are: metrics, classes, what is taken for what, whether a probability can be believed."""

from typing import Any

import numpy as np
from markupsafe import Markup

from sensorium.evaluation.columns import TARGET_COLUMNS, Calibration
from sensorium.evaluation.saved_scores import SavedScores, SavedTarget
from sensorium.metrics import INTERVAL, Resamples, Value, distribution, mean, point, summary
from sensorium.reports.evidence import Evidence
from sensorium.reports.facts import baselines, headline_value
from sensorium.reports.plots import Line, Row, dots, intervals, lines, tone_by_chance
from sensorium.reports.render import Section, render
from sensorium.reports.values import metric_name, value_of

MOST_CROSSED, MOST_LISTED, MOST_DOTS = 30, 40, 1500
BINS = 10
BELIEVED = "as often right as stated"
SHARES = ("accuracy", "balanced_accuracy", "precision_macro", "recall_macro", "f1_macro", "roc_auc", "roc_auc_ovr",
          "average_precision", "r2", "spearman", "vqa_accuracy", "exact_match", "chrf", "bleu", "rouge_l")  # fmt: skip


def targets(evidence: Evidence) -> Section:
    """The section."""
    blocks = [_target(name, evidence) for name in evidence.figures["targets"]]
    return Section("metrics", "How good it is", render("targets", targets=blocks))


def _target(name: str, evidence: Evidence) -> dict[str, Any]:
    figures = evidence.figures
    metrics = {key: value_of(value) for key, value in figures["targets"][name].items()}
    metric, value = headline_value(figures, name)
    rivals = baselines(figures, name)
    plots = []
    if rivals:
        rows = [_row("the model", value)]
        rows += [_row(rival, baseline.value._replace(chance=value.chance)) for rival, baseline in rivals.items()]
        plots.append(intervals("The model beside its baselines", rows, metric_name(metric), value.chance))
    rows = [_row(metric_name(key), metrics[key]) for key in metrics if key in SHARES]
    plots.append(intervals(f"Shares and correlations, with {INTERVAL}s", rows, "share"))
    scores = evidence.scores
    if scores is not None and scores.known(scores.target(name)).any():
        plots += _trust(scores.target(name), scores)
    labels, counts = [], np.zeros((0, 0), dtype=int)
    if name in figures.get("confusion", {}):
        labels, counts = figures["confusion"][name]["labels"], np.array(figures["confusion"][name]["counts"])
    crossed = len(labels) <= MOST_CROSSED
    classes = sorted(figures.get("classes", {}).get(name, {}).items(), key=lambda item: item[1]["f1"])
    return {
        "name": name,
        "metric": metric,
        "records": figures["records"]["targets"].get(name),
        "metrics": figures["targets"][name],
        "written": figures.get("written", {}).get(name, {}).get("sentence"),
        "plots": plots,
        "baselines": rivals,
        "labels": labels,
        "matrix": _matrix(counts) if crossed else [],
        "mistakes": None if crossed else _mistakes(labels, counts),
        "classes": classes[:MOST_LISTED],
        "all_classes": len(classes),
    }


def _row(label: str, value: Value) -> Row:
    """A value, grey where it is not surely above chance."""
    return Row(label, value, tone_by_chance(value))


def _trust(target: SavedTarget, scores: SavedScores) -> list[Markup]:
    """Calibration where there are probabilities; on a scale, what was decided against what is true."""
    kind, truth, prediction = TARGET_COLUMNS[target.kind], scores.truth(target), scores.prediction(target)
    plots, scatter = [], kind.scatter(truth, prediction)
    calibration = kind.calibration(target.labels, truth, prediction)
    if scatter is not None:
        rows = np.linspace(0, len(scatter.truth) - 1, min(MOST_DOTS, len(scatter.truth))).round().astype(int)
        true, decided = (values[rows] for values in scatter)
        plots.append(dots("Decided against true", true, decided, "true", "decided"))
    if calibration is not None:
        groups, records = scores.groups, calibration.row
        line = _reliability(calibration, records if groups is None else groups[scores.known(target)][records])
        plots.append(
            lines(calibration.title.capitalize(), [line], calibration.x_name, calibration.y_name, diagonal=BELIEVED)
        )
    return plots


def _reliability(calibration: Calibration, clusters: np.ndarray) -> Line:
    """The share that is right [bins] of what is as probable as a bin, in bins of equally many, with intervals."""
    order = np.argsort(calibration.probability, kind="stable")
    x, values = [], []
    for rows in np.array_split(order, min(BINS, max(1, len(order) // 10))):
        metric = mean(calibration.correct[rows].astype(float))
        resamples = Resamples(len(rows), clusters[rows], 1000)
        x.append(float(calibration.probability[rows].mean()))
        values.append(summary(point(metric, len(rows)), distribution({"": metric}, resamples)[""], resamples.units))
    return Line("share", x, *([getattr(value, side) for value in values] for side in ("value", "low", "high")))


def _matrix(counts: np.ndarray) -> list[list[tuple[int, float]]]:
    """For each true class, how often each was decided, and the share of the class that is."""
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    return [list(zip(*rows, strict=True)) for rows in zip(counts.tolist(), shares.tolist(), strict=True)]


def _mistakes(labels: list[str], counts: np.ndarray) -> list[tuple[str, str, int]]:
    """Of many classes, the pairs that are taken for one another most often: true, decided, records."""
    wrong = counts - np.diag(np.diag(counts))
    most = np.argsort(-wrong, axis=None, kind="stable")[:MOST_LISTED]
    pairs = zip(*np.unravel_index(most, wrong.shape), strict=True)
    return [(labels[true], labels[guess], int(wrong[true, guess])) for true, guess in pairs if wrong[true, guess]]
