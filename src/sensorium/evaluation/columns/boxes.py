"""A list of places as columns."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sensorium.console import shorten
from sensorium.data.columns.parse import objects
from sensorium.data.schema import TargetSpec
from sensorium.data.targets.boxes import dump_places, load_places
from sensorium.data.targets.places import Place, place_record
from sensorium.evaluation.columns.base import named_classes, no_breakdowns, no_calibration, no_probability, no_scatter
from sensorium.evaluation.found import judge_places, place_baselines
from sensorium.metrics import Columns
from sensorium.metrics.kinds.boxes import EVERY_SIZE, PictureBoxes, boxes_by_label, match_label

SHOWN = 200  # letters of a list


class BoxesColumns:
    """The truth and the decision, null where nothing was written, are lists of places as JSON, relative to the picture,
    with the scores of those that were written. `written` judges what was written.
    """

    wrong_decisions = "Pictures in which places are missing or too many, the most first; true ones are white."
    effect_words = ("a loss at most a quarter of that without it", "a loss at least four times that without it")
    labels_of = staticmethod(named_classes)
    breakdowns = staticmethod(no_breakdowns)
    calibration = staticmethod(no_calibration)
    scatter = staticmethod(no_scatter)
    probability_of = staticmethod(no_probability)
    baselines = staticmethod(place_baselines)
    written = staticmethod(judge_places)

    @staticmethod
    def score_columns(
        target: TargetSpec, cells: np.ndarray, truth: Columns, prediction: Columns
    ) -> dict[str, pa.Array]:
        """As TargetColumns says."""
        decision = prediction.get("decision", np.full(len(cells), None, dtype=object))
        return {
            target.name: pa.array([None if places is None else dump_places(places) for places in cells], pa.string()),
            f"{target.name}_decision": pa.array(
                [None if places is None else dump_places(places, scores=True) for places in decision], pa.string()
            ),
        }

    @staticmethod
    def read_truth(labels: list[str], values: pd.Series) -> Columns:
        """`places`, object [M], lists of Place."""
        return {"places": objects([load_places(cell) for cell in values])}

    @staticmethod
    def read_prediction(name: str, labels: list[str], frame: pd.DataFrame) -> Columns:
        """`loss` float64 [M] and `decision` object [M], None where nothing was written."""
        decision = [None if pd.isna(cell) else load_places(cell) for cell in frame[f"{name}_decision"]]
        return {"loss": frame[f"{name}_loss"].to_numpy(np.float64), "decision": objects(decision)}

    @staticmethod
    def fields(target: TargetSpec) -> list[pa.Field]:
        """As TargetColumns says."""
        return [pa.field(target.name, pa.string())]

    @staticmethod
    def row(name: str, predicted: dict[str, Any]) -> dict[str, Any]:
        """The places as JSON, in pixels, and the width and height of the picture; None where that is absent."""
        size = predicted["size"]
        records = None if size is None else [place_record(place, size) for place in predicted["decision"]]
        cell = None if records is None else json.dumps(records, ensure_ascii=False)
        return {name: cell, f"{name}_size": size}

    @staticmethod
    def cell(predicted: dict[str, Any]) -> str:
        """The labels."""
        return shorten(", ".join(place.label for place in predicted["decision"]) or "nothing", SHOWN)

    @staticmethod
    def matches(decision: list[Place] | None, truth: list[Place]) -> bool | None:
        """None: places are near or far."""

    @staticmethod
    def wrong_order(truth: Columns, prediction: Columns, loss: np.ndarray) -> np.ndarray:
        """Those with a true place that no written one has an IoU of .5 with, or the reverse; most of these first."""
        written = np.flatnonzero([places is not None for places in prediction["decision"]])
        faults = np.array([_faults(truth["places"][row], prediction["decision"][row]) for row in written], dtype=int)
        return written[faults > 0][np.argsort(-faults[faults > 0], kind="stable")]

    @staticmethod
    def drawn(decision: str | None, truth: str) -> tuple[list[Place], list[Place]]:
        """What a report draws into the picture of a saved record: the true places and the written ones."""
        return load_places(truth), [] if decision is None else load_places(decision)

    @staticmethod
    def spelled(value: str) -> str:
        """A saved list as its labels."""
        return BoxesColumns.cell({"decision": load_places(value)})


def _faults(true: list[Place], written: list[Place]) -> int:
    """How many true places none of the written ones hits, and how many of these hit none."""
    sides = [
        PictureBoxes(
            [place.label for place in places],
            np.array([place.box for place in places], dtype=np.float64).reshape(-1, 4),
            np.array([place.confidence for place in places], dtype=np.float64),
        )
        for places in (true, written)
    ]
    by_label = boxes_by_label(sides[:1], sides[1:])
    hits = sum(int(match_label(boxes, 1, EVERY_SIZE).hit[0].sum()) for boxes in by_label.values())
    return len(true) + len(written) - 2 * hits
