"""What a decoder of answers is built from: the answers of the training records, spelled as the question is."""

from typing import Any

from torch import nn

from sensorium.data.schema import TargetSpec
from sensorium.encoders.text_processor import TextProcessor
from sensorium.errors import UserError

SHORTEST_CONTEXT = 16  # tokens of a decoder: answers that come later may be longer than those it is built for


def answer_head_config(spec: TargetSpec, prior: list[float], encoders: dict[str, nn.Module]) -> dict[str, Any]:
    """Settings of a head that writes the answers of a target: its words, special tokens, list of answers and `prior`.

    The tokens are those of the first input that is text. Raises UserError when none has any.
    """
    processors = [encoder.processor for encoder in encoders.values() if isinstance(encoder.processor, TextProcessor)]
    if not processors:
        raise UserError(
            f"The head 'answer' of '{spec.name}' spells answers by the tokens of a text input, and no input has tokens;"
            " give a text input an encoder such as bert_text, or take the head frequent."
        )
    answers = [processors[0](label)["tokens"].tolist() for label in spec.labels]
    return {
        "vocabulary": processors[0].vocabulary,
        "context": max(SHORTEST_CONTEXT, *(len(tokens) for tokens in answers)),
        "start": answers[0][0],
        "end": answers[0][-1],
        "pad": processors[0].pad_token,
        "answers": answers,
        "prior": prior,
    }
