"""How good the decisions are: metrics, classes, what is taken for what, whether a probability can be believed."""

from typing import Any

import numpy as np

from sensorium.errors import counted
from sensorium.evaluation.inputs import format_number
from sensorium.evaluation.printing import RIVALS, between
from sensorium.evaluation.saved_scores import SavedScores, SavedTarget
from sensorium.metrics import Resamples, distribution, mean, point, summary, vqa_accuracy
from sensorium.reports.evidence import Evidence
from sensorium.reports.markup import Html, element, joined, scrolling, table
from sensorium.reports.page import Section, note, plots
from sensorium.reports.plots import Line, Row, dots, intervals, lines
from sensorium.reports.values import metrics_table, value_of, words

MOST_CROSSED, MOST_LISTED, MOST_DOTS = 30, 40, 1500
BINS = 10
SHARES = ("accuracy", "balanced_accuracy", "precision_macro", "recall_macro", "f1_macro", "roc_auc", "roc_auc_ovr",
          "average_precision", "r2", "spearman", "vqa_accuracy", "exact_match")  # fmt: skip


def targets(evidence: Evidence) -> Section:
    """The section."""
    parts = [_target(name, evidence) for name in evidence.figures["targets"]]
    return Section("metrics", "How good it is", joined(*parts))


def _target(name: str, evidence: Evidence) -> Html:
    figures = evidence.figures
    metrics = figures["targets"][name]
    count = figures["records"]["targets"].get(name)
    rows = [
        Row(words(key), value_of(known), key not in _above(metrics)) for key, known in metrics.items() if key in SHARES
    ]
    shown = plots(intervals(f"{name}: shares and correlations, with 95 % intervals", rows), _trust(name, evidence))
    caption = f"{name}: every metric on {counted(count, 'record')}; chance is the training records' most usual answer"
    return joined(
        element("h3", name),
        shown,
        note("Blue intervals lie above chance, grey ones reach it."),
        metrics_table(metrics, caption),
        _baselines(name, figures.get("baselines", {}).get(name)),
        _confusion(name, figures.get("confusion", {})),
        _classes(name, figures.get("classes", {})),
    )


def _baselines(name: str, known: dict[str, Any] | None) -> Html | None:
    """What an answer is compared with."""
    if known is None:
        return None
    rows = []
    for key, one in known.items():
        if key != "metric":
            value, above = value_of(one), value_of(one["above"])
            rows.append(
                [RIVALS[key], format_number(value.value), between(value), format_number(above.value), between(above)]
            )
    headers = ["", "value", "95 % interval", "the model is above", "95 % interval"]
    return table(headers, rows, f"{name}: beside what needs no picture, by {words(known['metric'])}")


def _above(metrics: dict[str, Any]) -> list[str]:
    """The metrics whose interval lies above their chance level."""
    return [
        name for name, known in metrics.items() if known["low"] is not None and known["low"] > (known["chance"] or 0.0)
    ]


def _trust(name: str, evidence: Evidence) -> Html | None:
    """Calibration of a class or labels; of a number, what was decided against what is true."""
    scores = evidence.scores
    target = None if scores is None else scores.target(name)
    if target is None or not scores.known(target).any():
        return None
    if target.kind == "number":
        return _scatter(target, scores)
    truth, given = scores.truth(target), scores.prediction(target)
    if target.kind == "answer":
        sure, right = given["probability"], vqa_accuracy(truth, given["decision"])
        rows = np.arange(len(sure))
        title, across = f"{name}: calibration", "probability of the decision (upwards: its VQA accuracy)"
    elif target.kind == "class":
        sure, right = given["probabilities"].max(axis=1), given["probabilities"].argmax(axis=1) == truth["label"]
        rows = np.arange(len(sure))
        title, across = f"{name}: calibration", "probability of the decision (upwards: share that is right)"
    else:
        sure, right = given["probabilities"].ravel(), truth["labels"].ravel()
        rows = np.repeat(np.arange(len(truth["labels"])), len(target.labels))
        title, across = f"{name}: calibration of all labels", "probability of a label (upwards: share that have it)"
    groups = scores.groups
    cluster = rows if groups is None else groups[scores.known(target)][rows]
    return lines(title, [_reliability(sure, right, cluster)], across, diagonal=True)


def _reliability(sure: np.ndarray, right: np.ndarray, cluster: np.ndarray) -> Line:
    """The share that is right [bins] of what is as `sure` as a bin, in bins of equally many, with intervals."""
    order = np.argsort(sure, kind="stable")
    at, values, lows, highs = [], [], [], []
    for rows in np.array_split(order, min(BINS, max(1, len(order) // 10))):
        metric, resamples = mean(right[rows].astype(float)), Resamples(len(rows), cluster[rows], 1000)
        value = summary(point(metric, len(rows)), distribution({"": metric}, resamples)[""], resamples.units)
        at.append(float(sure[rows].mean()))
        values.append(value.value)
        lows.append(value.low)
        highs.append(value.high)
    return Line("share", at, values, lows, highs)


def _scatter(target: SavedTarget, scores: SavedScores) -> Html:
    truth, given = scores.truth(target)["value"], scores.prediction(target)["decision"]
    few = np.linspace(0, len(truth) - 1, min(MOST_DOTS, len(truth))).round().astype(int)
    return dots(f"{target.name}: decided against true", truth[few], given[few], "true", "decided")


def _confusion(name: str, confusion: dict[str, Any]) -> Html | None:
    known = confusion.get(name)
    if known is None:
        return None
    labels, counts = known["labels"], np.array(known["counts"])
    if len(labels) > MOST_CROSSED:
        return _mistaken(name, labels, counts)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    head = [element("th", "true \N{RIGHTWARDS ARROW} decided", scope="col")]
    head += [element("th", element("span", label), scope="col", title=label) for label in labels]
    rows = []
    for place, label in enumerate(labels):
        cells = [
            element("td", str(count) if count else "", class_="right" if place == column else None,
                    style=f"--share:{share:.3f}", title=f"{count} of {label} decided {labels[column]}")
            for column, (count, share) in enumerate(zip(counts[place], shares[place], strict=True))
        ]  # fmt: skip
        rows.append(element("tr", element("th", label, scope="row", title=label), *cells))
    caption = f"{name}: how often each class (row) was taken for each (column); darker: a larger share of the row"
    whole = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *head)),
        element("tbody", *rows),
        class_="matrix",
    )
    return joined(element("h4", "What is taken for what"), scrolling(whole, caption))


def _mistaken(name: str, labels: list[str], counts: np.ndarray) -> Html:
    """Of many classes, the pairs that are taken for one another most often."""
    wrong = counts - np.diag(np.diag(counts))
    places = np.argsort(-wrong, axis=None, kind="stable")[:MOST_LISTED]
    pairs = [np.unravel_index(place, wrong.shape) for place in places]
    rows = [[labels[a], labels[b], str(wrong[a, b])] for a, b in pairs if wrong[a, b]]
    return table(
        ["true", "decided", "records"], rows, f"{name}: of {len(labels)} classes, the most frequent mistakes", 2
    )


def _classes(name: str, classes: dict[str, Any]) -> Html | None:
    rows = sorted(classes.get(name, {}).items(), key=lambda row: row[1]["f1"])
    if not rows:
        return None
    shown = rows[:MOST_LISTED]
    cells = [
        [
            label,
            format_number(one["precision"]),
            format_number(one["recall"]),
            format_number(one["f1"]),
            f"{one['support']:,}",
        ]
        for label, one in shown
    ]
    of = f"{len(shown)} of {len(rows)}, those" if len(rows) > len(shown) else "all, those"
    listed = table(["label", "precision", "recall", "F1", "records"], cells, f"{name}: {of} with the lowest F1 first")
    return joined(element("h4", "Each label"), listed)
