"""How good written places are: every metric beside chance and beside what is written without each input."""

from typing import Any, NamedTuple

import numpy as np

from sensorium.data.targets.boxes import load_places
from sensorium.data.targets.places import Place
from sensorium.evaluation.baselines import Baseline, Scored, compare_metrics
from sensorium.evaluation.coalitions import without
from sensorium.evaluation.judged import figures_of, judge, written_rows
from sensorium.evaluation.rivals import Training
from sensorium.metrics import Columns, Resamples, Value
from sensorium.metrics.kinds.boxes import JUDGED_BY, PictureBoxes, mean_average_precision, place_metrics


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
        """See `judged.figures_of`."""
        return figures_of(self)

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
    sample = _sample_of(scored)
    if sample is None:
        return None
    prediction, lists = _written(scored, sample)
    metrics, by_input = judge(
        place_metrics(sample.truths, _boxes(lists, sample.sizes)),
        place_metrics(sample.truths, _usual(scored, sample)),
        {name: place_metrics(sample.truths, boxes) for name, boxes in _without_inputs(scored, sample).items()},
        sample.resamples,
    )
    true_labels = {label for truth in sample.truths for label in truth.labels}
    return Found(
        metric=JUDGED_BY,
        metrics=metrics,
        without=by_input,
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
    sample = _sample_of(scored)
    if sample is None:
        return {}
    rivals = {"usual places": _usual(scored, sample)}
    rivals |= {f"without {name}": boxes for name, boxes in _without_inputs(scored, sample).items()}
    by_rival = {name: mean_average_precision(sample.truths, boxes) for name, boxes in rivals.items()}
    _, lists = _written(scored, sample)
    model = mean_average_precision(sample.truths, _boxes(lists, sample.sizes))
    return compare_metrics(model, by_rival, sample.resamples)


def _sample_of(scored: Scored) -> Sample | None:
    """The records of which anything was written."""
    judgeable = written_rows(scored)
    if judgeable is None:
        return None
    rows, resamples = judgeable
    target = scored.target
    sizes = [scored.table.picture_size(target, int(row)) for row in rows]
    return Sample(rows, sizes, _boxes(list(scored.table.cells(target.name, target.kind)[rows]), sizes), resamples)


def _written(scored: Scored, sample: Sample) -> tuple[Columns, list[list[Place]]]:
    """What was predicted of all scored records from every input, and the lists of the sample."""
    prediction = scored.predictions[tuple(spec.name for spec in scored.table.schema.inputs)]
    return prediction, [prediction["decision"][row] for row in sample.rows]


def _usual(scored: Scored, sample: Sample) -> list[PictureBoxes]:
    """What is said without a look at any picture."""
    return _boxes([load_places(scored.target.commonest or "[]")] * len(sample.rows), sample.sizes)


def _without_inputs(scored: Scored, sample: Sample) -> dict[str, list[PictureBoxes]]:
    """By input what is written when it is taken away."""
    inputs = tuple(spec.name for spec in scored.table.schema.inputs)
    decisions = {name: scored.predictions[without(inputs, name)]["decision"] for name in inputs}
    return {
        name: _boxes([decided[row] or [] for row in sample.rows], sample.sizes) for name, decided in decisions.items()
    }


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
