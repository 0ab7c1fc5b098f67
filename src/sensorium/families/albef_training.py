"""ALBEF as a family that is pretrained: a picture and a text, aligned and then fused."""

import math
from typing import Any, NamedTuple

from torch import nn

from sensorium.data.schema import Schema
from sensorium.errors import UserError, unknown
from sensorium.families import albef
from sensorium.families.family import Family, FamilySettings, Tower, refuse, set_temperature
from sensorium.fusion.bert import BertFusion
from sensorium.heads.masked_words import MaskedWords
from sensorium.model import Model
from sensorium.objectives.momentum import Momentum, Queue

SIZE = "tiny"
TEMPERATURE, MOMENTUM, ALPHA = 0.07, 0.995, 0.4  # as published
RATE = {"tiny": 5e-4, "base": 1e-4}
SLOW = 1e-5
UNMATCHED = -(math.log(1 / 3) + 2 * math.log(2 / 3)) / 3  # a third of the pairs that matching sees are matches


class Size(NamedTuple):
    """The settings of both encoders, the layers over both, the width of the shared space, and pairs in the queue."""

    image: dict[str, Any]
    text: dict[str, Any]
    fusion_layers: int
    dim: int
    queue: int


_VIT = {"pre_norm": False, "patch_bias": True, "eps": 1e-6}
SIZES = {
    "tiny": Size(
        _VIT | {"size": 64, "patch": 8, "width": 192, "depth": 4, "heads": 3},
        {"width": 128, "depth": 2, "heads": 2},
        fusion_layers=2,
        dim=128,
        queue=1024,
    ),
    # Li et al. 2021 (arXiv:2107.07651): ViT-B/16 at 256 pixels, and BERT-base, its upper half over both.
    "base": Size(
        _VIT | {"size": 256, "patch": 16, "width": 768, "depth": 12, "heads": 12},
        {"width": 768, "depth": 6, "heads": 12},
        fusion_layers=6,
        dim=256,
        queue=65_536,
    ),
}


def _size(settings: FamilySettings) -> Size:
    name = settings.size or SIZE
    if name not in SIZES:
        raise unknown("size", name, SIZES)
    return SIZES[name]


def towers(settings: FamilySettings) -> dict[str, Tower]:
    """The encoders of the size; the tokenizer and the length of texts come from the records.

    Raises UserError for an unknown size, and for settings that ALBEF does not have.
    """
    refuse(settings, ("pairs", "loss", "projections", "labels"))
    size = _size(settings)
    return {"image": Tower("clip_image", size.image), "text": Tower("bert_text", size.text)}


def model(settings: FamilySettings, encoders: dict[str, nn.Module], schema: Schema) -> Model:
    """Encoders of any width, aligned and fused."""
    size = _size(settings)
    dim, temperature = settings.dim or size.dim, settings.temperature or TEMPERATURE
    return albef.around(encoders, size.fusion_layers, dim, temperature, schema)


def begun(old: Model, encoders: dict[str, nn.Module], taken: dict[str, str], schema: Schema) -> Model:
    """The encoders with the projections, the fusion, the heads and the temperature that they had."""
    if not isinstance(old.fusion, BertFusion) or set(old.heads.names) != {"match", "words"}:
        raise UserError(
            "The model that --from names is no pre-trained ALBEF, whose heads are match and words; name one, or leave"
            " --from out."
        )
    mine = {theirs: name for name, theirs in taken.items()}
    roles = {"query": mine[old.fusion.query], "context": [mine[name] for name in old.fusion.context]}
    fusion = BertFusion(
        old.fusion.config.model_copy(update=roles), {name: encoder.dim for name, encoder in encoders.items()}
    )
    words = old.heads["words"].config.model_copy(update={"tied": roles["query"]})
    heads = {"match": old.heads["match"], "words": MaskedWords(words, fusion.dim)}
    projections = {name: old.projections[theirs] for name, theirs in taken.items()}
    model = Model(encoders, projections, fusion, heads, TEMPERATURE, schema)
    fusion.load_state_dict(old.fusion.state_dict())
    heads["words"].load_state_dict(old.heads["words"].state_dict())
    model.logit_scale.data.copy_(old.logit_scale.data)
    return model


def going_on(settings: FamilySettings, model: Model) -> FamilySettings:
    """The settings as they are; `model` gets the temperature that they state. Raises UserError as `set_temperature`."""
    set_temperature(settings, model)
    return settings


def pairs(settings: FamilySettings, kinds: dict[str, str]) -> list[tuple[str, str]]:
    """The picture and the text. Raises UserError for other inputs, name → kind."""
    return [albef.sides(kinds)]


def objectives(settings: FamilySettings, model: Model, steps: int) -> list[nn.Module]:
    """The three losses, with a teacher whose share of their targets rises over the first epoch, and a queue."""
    momentum = MOMENTUM if settings.momentum is None else settings.momentum
    alpha = ALPHA if settings.alpha is None else settings.alpha
    _, text = albef.sides({name: encoder.modality for name, encoder in model.encoders.items()})
    queue = Queue(_queue_size(settings), model.projections[text].out_features)
    return albef.objectives(Momentum(model, momentum, alpha, steps), queue)


def training(settings: FamilySettings, goes_on: bool) -> dict[str, Any]:
    """A learning rate by size, the published one for the published size; a small one where trained weights go on. The
    fusion loses no input: a record that lacks one takes no part in matching.
    """
    rate = SLOW if goes_on else RATE.get(settings.size or SIZE, RATE[SIZE])
    return {"learning_rate": rate, "weight_decay": 0.02, "modality_dropout": 0.0}


def sentences(settings: FamilySettings, model: Model, batch_size: int) -> list[str]:
    """What each of the losses is for a model that knows nothing."""
    told, words = batch_size + _queue_size(settings), model.heads["words"].config.vocabulary
    return [
        f"Chance: who knows nothing has a loss of ln {told:,} = {math.log(told):.2f} in alignment once the queue is"
        f" full, of {UNMATCHED:.2f} in matching, and of ln {words:,} = {math.log(words):.2f} in masked words; below it"
        " something is learned."
    ]


def _queue_size(settings: FamilySettings) -> int:
    return settings.queue or _size(settings).queue


ALBEF = Family(towers, model, begun, going_on, objectives, pairs, training, sentences, "tokens")
