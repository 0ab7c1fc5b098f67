"""What a decoder of answers is built from: the answers of the training records, spelled as the question is."""

from typing import Any

import numpy as np
from torch import Tensor, nn

from sensorium.data.schema import TargetSpec
from sensorium.data.table import Table
from sensorium.data.targets.encode import encode
from sensorium.encoders.text_processor import TextProcessor
from sensorium.errors import UserError

LEAST_CONTEXT = 16  # places of a decoder: answers that come later may be longer than those it was built for


def answer_frequencies(target: dict[str, Tensor], count: int) -> np.ndarray:
    """How large a share of the records' answers each of `count` is, smoothed: float64 [count], of sum 1."""
    places, weight = target["answers"].numpy(), target["weight"].numpy()
    counts = np.bincount(places[places >= 0], weight[places >= 0], count) + 0.5
    return counts / counts.sum()


def answer_head_config(table: Table, spec: TargetSpec, encoders: dict[str, nn.Module]) -> dict[str, Any]:
    """Settings of the head `answer` for a target: its words, marks, list of answers and their prior.

    The tokens are those of the first input that is text. Raises UserError when none has any.
    """
    texts = [one.processor for one in encoders.values() if isinstance(one.processor, TextProcessor)]
    if not texts:
        raise UserError(
            f"The head 'answer' of '{spec.name}' spells answers by the tokens of a text input, and no input has tokens;"
            " give a text input an encoder such as bert_text, or take the head frequent."
        )
    answers = [texts[0](label)["tokens"].tolist() for label in spec.labels]
    return {
        "vocabulary": texts[0].vocabulary,
        "context": max(LEAST_CONTEXT, *(len(one) for one in answers)),
        "start": answers[0][0],
        "end": answers[0][-1],
        "pad": texts[0].pad_token,
        "answers": answers,
        "prior": answer_frequencies(encode(table, spec), len(answers)).tolist(),
    }
