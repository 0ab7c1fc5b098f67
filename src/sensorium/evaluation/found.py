"""How good written places are: every metric beside chance and beside what is written without each input."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sensorium.data.targets.boxes import load_places
from sensorium.data.targets.places import Place
from sensorium.evaluation.baselines import Baseline, Scored
from sensorium.evaluation.coalitions import without
from sensorium.evaluation.rivals import Training
from sensorium.metrics import Metric, Resamples, Value, distribution, finite, measured, point, summary
from sensorium.metrics.kinds.boxes import JUDGED_BY, PictureBoxes, place_metrics


class Found(NamedTuple):
    """Places written for `records` of the `of` records that have the target, judged by `metric`.

    metrics: with their chance, the usual places of training. without: by input, the metrics of what is written when it
    is taken away. units: how many records, or groups of them. true, places, unseen: how many places there are, how many
    were written, and how many of these have a label that no true place has. empty, unfinished: how many lists are so.
    """

    metric: str
    metrics: dict[str, Value]
    without: dict[str, dict[str, Value]]
    records: int
    of: int
    units: int
    true: int
    places: int
    unseen: int
    empty: int
    unfinished: int

    def to_dict(self) -> dict[str, Any]:
        """What metrics.json holds beside the metrics themselves."""
        by_input = {
            name: {key: value._asdict() for key, value in of_input.items()} for name, of_input in self.without.items()
        }
        return self._asdict() | {"without": by_input, "sentence": self.sentence} | {"metrics": list(self.metrics)}

    @property
    def sentence(self) -> str:
        """How many were written, and what is odd about them."""
        faults = {
            "written places have labels that no true one has": self.unseen,
            "records without any written place": self.empty,
            "lists cut at the most tokens": self.unfinished,
        }
        odd = "".join(f"; {count:,} {fault}" for fault, count in faults.items() if count)
        return (
            f"{self.places:,} places written where there are {self.true:,}, for {self.records:,} of {self.of:,}"
            f" records{odd}."
        )


class Sample(NamedTuple):
    """The records that were written for: rows among the scored ones, the width and height of their pictures, their true
    boxes, and resamples of them.
    """

    rows: np.ndarray
    sizes: list[tuple[int, int]]
    truths: list[PictureBoxes]
    resamples: Resamples


def judge_places(scored: Scored) -> Found | None:
    """What was written of the scored records, judged; None where nothing was."""
    inputs = tuple(spec.name for spec in scored.table.schema.inputs)
    sample = _sample_of(scored)
    if sample is None:
        return None
    prediction = scored.predictions[inputs]
    lists = [prediction["decision"][row] for row in sample.rows]
    usual = [load_places(scored.target.commonest or "[]")] * len(sample.rows)
    chance = {
        name: finite(point(metric, len(sample.rows)))
        for name, metric in place_metrics(sample.truths, _boxes(usual, sample.sizes)).items()
    }
    true_labels = {label for truth in sample.truths for label in truth.labels}
    return Found(
        metric=JUDGED_BY,
        metrics=_measure(sample, place_metrics(sample.truths, _boxes(lists, sample.sizes)), chance),
        without={name: _measure(sample, _without(scored, sample, name), chance) for name in inputs},
        records=len(sample.rows),
        of=len(scored.table),
        units=sample.resamples.units,
        true=sum(len(truth.labels) for truth in sample.truths),
        places=sum(map(len, lists)),
        unseen=sum(place.label not in true_labels for places in lists for place in places),
        empty=sum(not places for places in lists),
        unfinished=int((~prediction["finished"][sample.rows].astype(bool)).sum()),
    )


def place_baselines(scored: Scored, training: Training | None) -> dict[str, Baseline]:
    """The model beside the usual places, and itself without each input."""
    inputs = tuple(spec.name for spec in scored.table.schema.inputs)
    sample = _sample_of(scored)
    if sample is None:
        return {}
    lists = [scored.predictions[inputs]["decision"][row] for row in sample.rows]
    usual = [load_places(scored.target.commonest or "[]")] * len(sample.rows)
    metrics = {
        "": place_metrics(sample.truths, _boxes(lists, sample.sizes))[JUDGED_BY],
        "usual places": place_metrics(sample.truths, _boxes(usual, sample.sizes))[JUDGED_BY],
    } | {f"without {name}": _without(scored, sample, name)[JUDGED_BY] for name in inputs}
    drawn = distribution(metrics, sample.resamples)
    points = {name: point(metric, len(sample.rows)) for name, metric in metrics.items()}
    return {
        name: Baseline(
            measured(metrics[name], drawn[name], sample.resamples),
            summary(points[""] - points[name], drawn[""] - drawn[name], sample.resamples.units),
        )
        for name in metrics
        if name
    }


def _sample_of(scored: Scored) -> Sample | None:
    """The records of which anything was written."""
    inputs = tuple(spec.name for spec in scored.table.schema.inputs)
    decision = scored.predictions[inputs].get("decision")
    rows = np.flatnonzero(~pd.isna(decision)) if decision is not None else np.zeros(0, dtype=np.int64)
    if not len(rows):
        return None
    target = scored.target
    sizes = [scored.table.picture_size(target, int(row)) for row in rows]
    truths = _boxes(list(scored.table.cells(target.name, target.kind)[rows]), sizes)
    clusters = None if scored.resamples.cluster is None else scored.resamples.cluster[rows]
    resamples = Resamples(len(rows), clusters, scored.resamples.count, scored.resamples.seed)
    return Sample(rows, sizes, truths, resamples)


def _without(scored: Scored, sample: Sample, name: str) -> dict[str, Metric]:
    """The metrics of what is written without the input `name`."""
    inputs = tuple(spec.name for spec in scored.table.schema.inputs)
    lists = [scored.predictions[without(inputs, name)]["decision"][row] or [] for row in sample.rows]
    return place_metrics(sample.truths, _boxes(lists, sample.sizes))


def _boxes(lists: list[list[Place]], sizes: list[tuple[int, int]]) -> list[PictureBoxes]:
    """Places as boxes in the pixels of their pictures."""
    return [
        PictureBoxes(
            [place.label for place in places],
            np.array([place.box for place in places], dtype=np.float64).reshape(-1, 4) * (*size, *size),
            np.array([place.confidence for place in places], dtype=np.float64),
        )
        for places, size in zip(lists, sizes, strict=True)
    ]


def _measure(sample: Sample, metrics: dict[str, Metric], chance: dict[str, float | None]) -> dict[str, Value]:
    drawn = distribution(metrics, sample.resamples)
    return {name: measured(metric, drawn[name], sample.resamples, chance[name]) for name, metric in metrics.items()}
