"""A target that is an answer to a question, which several people may have given."""

from typing import Any

import numpy as np
import pandas as pd

from sensorium.data.columns.infer import Guess
from sensorium.data.columns.parse import CellFormat, WrongCell, convert_cells, is_missing
from sensorium.data.schema import TargetSpec
from sensorium.data.targets.answer_text import commonest, encode_answers, parse_answers, question_texts
from sensorium.data.targets.base import ArrayColumn, RecordCells, TargetColumn, labels_of_all


class AnswerTarget:
    """Answers: cells are lists of what each annotator said, tensors `answers`, `weight` and `annotators` as
    encode_answers gives them.
    """

    scored_by = "decision"
    default_head = "frequent"
    single_label = False
    repeats_inputs = True
    takes_text = False
    answers_questions = True
    distilled_by = None

    @staticmethod
    def infer(values: np.ndarray) -> Guess | None:
        """Never: answers have to be stated, because their cells look like classes."""
        return None

    @staticmethod
    def convert(values: np.ndarray) -> tuple[np.ndarray, list[WrongCell]]:
        """Lists of normalised answers."""
        return convert_cells(values, CellFormat(parse_answers, frozenset()))

    @staticmethod
    def label_counts(cells: np.ndarray) -> dict[str, float]:
        """The share of each cell that an answer has, summed over the cells; the commonest first."""
        return commonest(cells[~is_missing(cells)])

    @staticmethod
    def constant(cells: np.ndarray) -> str | None:
        """The only answer there is."""
        return labels_of_all(AnswerTarget.label_counts(cells), cells)

    @staticmethod
    def column(cells: np.ndarray, labels: list[str], processor: None = None) -> TargetColumn:
        """`mask`, `answers`, `weight` and `annotators`; an answer that is not among `labels` is -1."""
        return ArrayColumn(encode_answers(cells, labels))

    @staticmethod
    def statistics(column: TargetColumn, count: int, labels: list[str], balanced: bool) -> dict[str, Any]:
        """How many answers there are, and how large a share of the records' answers each is, smoothed."""
        target = column(np.arange(count))
        positions, weight = target["answers"].numpy(), target["weight"].numpy()
        counts = np.bincount(positions[positions >= 0], weight[positions >= 0], len(labels)) + 0.5
        return {"classes": len(labels), "prior": (counts / counts.sum()).tolist()}

    @staticmethod
    def fit(spec: TargetSpec, records: RecordCells, unscored: RecordCells, inherit: bool) -> TargetSpec:
        """The answers that there are, the commonest first, and to each question's text its usual answer."""
        labels = spec.labels if inherit else list(commonest(records.cells(spec.name, spec.kind)))
        usual = spec.usual | _usual_answers(unscored, spec, labels)
        return spec.model_copy(update={"labels": labels, "usual": usual})


def _usual_answers(records: RecordCells, spec: TargetSpec, labels: list[str]) -> dict[str, int]:
    """By the text that asks, the position of its commonest answer; of equally common ones, the one commoner in all."""
    encoded = encode_answers(records.cells(spec.name, spec.kind), labels)
    row, column = (encoded["answers"] >= 0).nonzero()
    answered = pd.DataFrame(
        {
            "text": pd.Series(question_texts(records), dtype=object).to_numpy()[row],
            "position": encoded["answers"][row, column],
            "weight": encoded["weight"][row, column],
        }
    )
    summed = answered[answered["text"] != ""].groupby(["text", "position"], as_index=False)["weight"].sum().round(6)
    first = summed.sort_values(["weight", "position"], ascending=[False, True]).drop_duplicates("text")
    return dict(zip(first["text"].tolist(), first["position"].tolist(), strict=True))
