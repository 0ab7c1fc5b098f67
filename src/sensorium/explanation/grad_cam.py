"""Grad-CAM over cross-attention: which patches each word of a text attends to, weighed by their effect on a decision.

As ALBEF's authors ground words in pictures (Li et al. 2021, arXiv:2107.07651, section 6.4; Grad-CAM: Selvaraju et al.
2017, arXiv:1610.02391).
"""

import copy
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from sensorium.data.media.decoding import decode
from sensorium.data.schema import InputSpec
from sensorium.data.table import Table
from sensorium.data.targets import TARGETS
from sensorium.encoders.image_processor import ImageProcessor
from sensorium.encoders.text_processor import TextProcessor
from sensorium.errors import UserError, unknown
from sensorium.explanation.attention_probe import AttentionProbe
from sensorium.features import Batch, Features
from sensorium.fusion.bert import BertFusion
from sensorium.fusion.serial import Serial
from sensorium.heads.match import Match
from sensorium.model import Model

LAYERS = {BertFusion: "blocks", Serial: "layers"}  # where each fusion that can be explained has its layers


class Explanation(NamedTuple):
    """Where a decision comes from.

    words: W of the text, in its order.
    maps:  float32 [W, h, w], for each word how much each patch of the picture supports the decision; never negative.
    whole: float32 [h, w], the mean over all tokens of the text, start and end tokens included.
    box:   left, top, right, bottom of the square that the patches cover, as shares of the picture's width and height.
    """

    words: list[str]
    maps: np.ndarray
    whole: np.ndarray
    box: tuple[float, float, float, float]


def explain(
    model: Model,
    record: dict[str, Any],
    target: str | None = None,
    decision: dict[str, Tensor] | None = None,
    image: str | None = None,
    layer: int | None = None,
) -> Explanation:
    """Which patches of the picture of `record` each word of its text attends to, for the model's decision on it.

    The model's fusion is `bert` or `serial`, its query is a text, and a picture is in its context. The map of a word is
    the attention of one layer times the positive part of the gradient of the score by it, averaged over heads (and over
    the word's tokens). The score is the log-probability of the decision; of a head of matches, the logit of a match. It
    is computed in float64, as that gradient is small where the decision is certain.

    target: which head's decision; None for the only one, or that of matches. decision: what the head takes as a target
    in `loss`, in a batch of one; None for what it decides. image: which picture, where the context has several. layer:
    of the fusion, from 0; None for the middle one, of six the third, as the authors take. In the last one a head that
    reads the first token alone leaves the words without heat.
    Raises UserError for another fusion, an input that the record lacks, and a layer that does not exist.
    """
    fusion, picture, head = _select(model, target, image)
    index = (fusion.config.layers - 1) // 2 if layer is None else layer
    if not 0 <= index < fusion.config.layers:
        raise UserError(f"There is no layer {layer} in the fusion; it has the layers 0 to {fusion.config.layers - 1}.")
    table, batch, features = _encoded(model, record, (fusion.query, picture))
    fusion, head = copy.deepcopy(fusion).double(), copy.deepcopy(head).double()
    crossing = getattr(fusion, LAYERS[type(fusion)])[index].crossings[fusion.context.index(picture)]
    with AttentionProbe(crossing) as probe, torch.enable_grad():
        fused = fusion({name: features[name] for name in model.encoders.names})
        score = _score(head, fused, decision)
    maps = _squares(probe.heat(score.sum()).mean(dim=1)[0])  # [T, h, w]
    specs = {spec.name: spec for spec in model.schema.inputs}
    words = _words(model.encoders[fusion.query].processor, table.value(0, specs[fusion.query]))
    mask = batch.inputs[fusion.query]["mask"][0].cpu().numpy()
    return Explanation(
        [word for word, _ in words],
        np.stack([maps[positions].mean(axis=0) for _, positions in words]),
        maps[mask].mean(axis=0),
        _box(model.encoders[picture].processor, table, specs[picture]),
    )


def _select(model: Model, target: str | None, image: str | None) -> tuple[nn.Module, str, nn.Module]:
    """The fusion, the picture's name and the head. Raises UserError for a model that has no such explanation."""
    fusion = model.fusion
    if type(fusion) not in LAYERS or fusion.query not in model.schema.inputs_of("text"):
        raise UserError(
            "A heat map is of what a text asks a picture, so it needs a fusion that the text leads; fit with the fusion"
            " bert or serial, whose query is the text, as --family albef does."
        )
    pictures = [name for name in fusion.context if name in model.schema.inputs_of("image")]
    if image is None and len(pictures) == 1:
        image = pictures[0]
    if image not in pictures:
        listed = ", ".join(pictures) or "none"
        raise UserError(f"The pictures that the fusion asks are: {listed}; name the one to explain by.")
    names = model.heads.names
    if target is None:
        matches = [name for name in names if isinstance(model.heads[name], Match)]
        target = (matches or names)[0] if matches or len(names) == 1 else None
    if target not in names:
        raise unknown("target", str(target), names)
    head = model.heads[target]
    explained = head.kind in TARGETS and TARGETS[head.kind].answers_questions
    if not isinstance(head, Match) and not explained:
        raise UserError(f"'{target}' is of the kind {head.kind}; only a class, an answer and a match are explained.")
    return fusion, image, head


@torch.no_grad()
def _encoded(model: Model, record: dict[str, Any], needed: tuple[str, ...]) -> tuple[Table, Batch, dict[str, Features]]:
    """The record as a table and as a batch, and its features in float64.

    Raises UserError for a needed input that the record lacks.
    """
    table = model.read([record])
    model.eval()
    batch = next(model.batches(table, 1))
    features = model.encode(batch.inputs)
    for name in needed:
        if not features[name].present.all():
            raise UserError(f"The record has no '{name}', so there is nothing to explain by; fill it in.")
    in_float64 = {
        name: Features(feature.tokens.double(), feature.mask, feature.pooled.double())
        for name, feature in features.items()
    }
    return table, batch, in_float64


def _score(head: nn.Module, fused: Features, decision: dict[str, Tensor] | None) -> Tensor:
    if isinstance(head, Match):
        return head.linear(fused.pooled)[:, 1]
    if decision is None:
        decision = head.as_target(head.predict(fused))
    return -head.loss(fused, decision)


def _squares(heat: Tensor) -> np.ndarray:
    """float [T, S] -> [T, h, w]: patches of a square picture, row by row, after the tokens that are no patch."""
    side = math.isqrt(heat.shape[1])
    return heat[:, -(side**2) :].unflatten(1, (side, side)).detach().float().cpu().numpy()


def _words(processor: TextProcessor, text: str) -> list[tuple[str, list[int]]]:
    """The words of a text, each with the positions of its tokens. Raises UserError for a text without any."""
    if not isinstance(processor, TextProcessor):
        raise UserError(
            "The text's encoder has no tokenizer that tells its words; fit with bert_text, text or clip_text."
        )
    positions_of: dict[int, list[int]] = {}
    encoding = processor.tokenizer.encode(text)
    for position, word in enumerate(encoding.word_ids):
        if word is not None:
            positions_of.setdefault(word, []).append(position)
    words = []
    for positions in positions_of.values():
        start, end = encoding.offsets[positions[0]][0], encoding.offsets[positions[-1]][1]
        word = text[start:end].strip()
        if any(letter.isalnum() for letter in word):  # a sign alone says nothing
            words.append((word, positions))
    if not words:
        raise UserError(f"The text {text!r} has no word that the model reads; ask with words.")
    return words


def _box(processor: ImageProcessor, table: Table, spec: InputSpec) -> tuple[float, float, float, float]:
    """The square of the picture that its encoder reads, as `Explanation.box`."""
    if processor.settings.fit == "squash":
        return (0.0, 0.0, 1.0, 1.0)
    height, width = decode(spec.decoder, table.value(0, spec), table.root).shape[:2]
    across, down = (min(height, width) / side for side in (width, height))
    return ((1 - across) / 2, (1 - down) / 2, (1 + across) / 2, (1 + down) / 2)
