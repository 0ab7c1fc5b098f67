"""A text as columns."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sensorium.console import shorten
from sensorium.data.columns.parse import objects
from sensorium.data.schema import TargetSpec
from sensorium.evaluation.columns.base import named_classes, no_breakdowns, no_calibration, no_scatter
from sensorium.evaluation.written import judge_written, written_baselines
from sensorium.metrics import Columns
from sensorium.metrics.kinds.text import NORMALISERS, chrf_of_each, exact_matches

SHOWN = 200  # letters of a text
LINE = 72  # letters of a line of an alignment


class TextColumns:
    """The truth is the list of references; the decision is what was written, null where nothing was, and its
    probability. `written` judges what was written.
    """

    wrong_decisions = "Texts that are none of their references, the furthest off first (by chrF)."
    effect_words = ("a loss at most a quarter of that without it", "a loss at least four times that without it")
    labels_of = staticmethod(named_classes)
    breakdowns = staticmethod(no_breakdowns)
    calibration = staticmethod(no_calibration)
    scatter = staticmethod(no_scatter)
    baselines = staticmethod(written_baselines)
    written = staticmethod(judge_written)

    @staticmethod
    def score_columns(
        target: TargetSpec, cells: np.ndarray, truth: Columns, prediction: Columns
    ) -> dict[str, pa.Array]:
        """As TargetColumns says."""
        decision = prediction.get("decision", np.full(len(cells), None, dtype=object))
        probability = prediction.get("probability", np.full(len(cells), np.nan))
        return {
            target.name: pa.array(cells.tolist(), pa.list_(pa.string())),
            f"{target.name}_decision": pa.array(decision, pa.string()),
            f"{target.name}_probability": pa.array(probability, pa.float32(), mask=np.isnan(probability)),
        }

    @staticmethod
    def read_truth(labels: list[str], values: pd.Series) -> Columns:
        """`references`, object [M], lists of texts."""
        return {"references": objects([list(texts) for texts in values])}

    @staticmethod
    def read_prediction(name: str, labels: list[str], frame: pd.DataFrame) -> Columns:
        """`loss` float64 [M] and `decision` object [M], None where nothing was written."""
        decision = frame[f"{name}_decision"].astype(object)
        return {
            "loss": frame[f"{name}_loss"].to_numpy(np.float64),
            "decision": decision.where(decision.notna(), None).to_numpy(object),
        }

    @staticmethod
    def fields(target: TargetSpec) -> list[pa.Field]:
        """As TargetColumns says."""
        return [pa.field(target.name, pa.string()), pa.field(f"{target.name}_probability", pa.float32())]

    @staticmethod
    def row(name: str, predicted: dict[str, Any]) -> dict[str, Any]:
        """The text and its probability; of several, all of them, the best first."""
        row = {name: predicted["decision"], f"{name}_probability": predicted["probability"]}
        ranked = predicted.get("alternatives", [])
        best = {f"{name}_best": "text", f"{name}_best_probabilities": "probability"} if ranked else {}
        return row | {column: [text[key] for text in ranked] for column, key in best.items()}

    @staticmethod
    def cell(predicted: dict[str, Any]) -> str:
        """The text."""
        return shorten(predicted["decision"], SHOWN)

    @staticmethod
    def matches(decision: str | None, truth: list[str]) -> bool | None:
        """None: a text is near or far."""

    @staticmethod
    def probability_of(name: str, record: pd.Series) -> float | None:
        """The written text's."""
        probability = record[f"{name}_probability"]
        return None if pd.isna(probability) else probability

    @staticmethod
    def wrong_order(truth: Columns, prediction: Columns, loss: np.ndarray) -> np.ndarray:
        """Those written that are none of their references, the furthest off first."""
        written = np.flatnonzero([text is not None for text in prediction["decision"]])
        references, texts = truth["references"][written], prediction["decision"][written]
        wrong = exact_matches(references, texts) == 0
        return written[wrong][np.argsort(chrf_of_each(references[wrong], texts[wrong]), kind="stable")]

    @staticmethod
    def alignment(decision: str, truth: list[str], normalise: str) -> str:
        """The nearest reference over what was written, word over word, with marks under what was substituted (S),
        deleted (D) and inserted (I). normalise: what is done to both before, one of NORMALISERS.
        """
        import jiwer

        texts = [NORMALISERS[normalise](text) for text in (decision, *truth)]
        compared = [jiwer.process_words(reference, texts[0]) for reference in texts[1:]]
        nearest = min(compared, key=lambda output: output.wer)
        lines = jiwer.visualize_alignment(nearest, show_measures=False, skip_correct=False, line_width=LINE)
        return lines.partition("\n\n")[2].rstrip()
