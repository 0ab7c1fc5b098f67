"""CLIP as a family that is pretrained: any named inputs, aligned two by two by a contrastive loss."""

from itertools import combinations
from typing import Any

from torch import nn

from sensorium.data.schema import Schema
from sensorium.errors import UserError, unknown
from sensorium.families.clip import preset
from sensorium.families.family import Family, FamilySettings, ProjectionSettings, Tower, refuse, set_temperature
from sensorium.model import Model
from sensorium.nn.projection import Projection
from sensorium.objectives.contrastive import Contrastive

SIZE = "tiny"
# Published rates; on 600 emoji from scratch the tiny size finds more at 5e-4 than at 3e-4 and at 1e-3.
RATE = {"tiny": 5e-4, "ViT-B-32": 5e-4, "ViT-B-16": 5e-4, "ViT-L-14": 4e-4}
SLOW = 5e-5
# Where the two losses start: Radford et al. 2021 (arXiv:2103.00020) and Zhai et al. 2023 (arXiv:2303.15343).
TEMPERATURE = {"softmax": 0.07, "sigmoid": 0.1}
LOGIT_BIAS = {"softmax": None, "sigmoid": -10.0}


def towers(settings: FamilySettings) -> dict[str, Tower]:
    """The towers of the published size, or of the tiny one, which takes the length of its texts from the records.

    Raises UserError for an unknown size, and for settings that are another family's.
    """
    refuse(settings, ("queue", "momentum", "alpha"))
    config = preset(settings.size or SIZE)
    image, text = (one.model_dump(exclude_unset=True) for one in (config.image, config.text))
    text.pop("end_token", None)  # that of the tokenizer, which is learned from the records
    if settings.size in (None, SIZE):
        text["context"] = None
    return {"image": Tower("clip_image", image), "text": Tower("clip_text", text)}


def model(settings: FamilySettings, encoders: dict[str, nn.Module], schema: Schema) -> Model:
    """Towers of any kind and width, each with a projection into the shared space."""
    dim, loss = settings.dim or preset(settings.size or SIZE).dim, settings.loss or "softmax"
    projections = {
        name: Projection(encoder.dim, dim, **settings.projections.get(name, ProjectionSettings()).model_dump())
        for name, encoder in encoders.items()
    }
    temperature = settings.temperature or TEMPERATURE[loss]
    return Model(encoders, projections, temperature=temperature, logit_bias=LOGIT_BIAS[loss], schema=schema)


def begun(old: Model, encoders: dict[str, nn.Module], taken: dict[str, str], schema: Schema) -> Model:
    """The encoders with the projections and the temperature that they had."""
    projections = {mine: old.projections[theirs] for mine, theirs in taken.items() if theirs in old.projections}
    model = Model(encoders, projections, schema=schema)
    for name in ("logit_scale", "logit_bias"):
        if hasattr(old, name):
            model.register_parameter(name, nn.Parameter(getattr(old, name).detach().clone()))
    return model


def going_on(settings: FamilySettings, model: Model) -> FamilySettings:
    """The settings with the loss that `model` was trained by; it gets the temperature that they state.

    Raises UserError when they ask for another size, space or loss than it has.
    """
    set_temperature(settings, model)
    has = "sigmoid" if hasattr(model, "logit_bias") else "softmax"
    if settings.loss not in (None, has):
        raise UserError(
            f"The model that --from names learned by the {has} loss, and its temperature fits no other; leave --loss"
            " out."
        )
    return settings.model_copy(update={"loss": has})


def pairs(settings: FamilySettings, kinds: dict[str, str]) -> list[tuple[str, str]]:
    """The pairs of the settings, or every two of the inputs `kinds`. Raises UserError for one that cannot be."""
    names = list(kinds)
    for name in settings.projections:
        if name not in names:
            raise unknown("input", name, names)
    for a, b in settings.pairs:
        for name in (a, b):
            if name not in names:
                raise unknown("input", name, names)
        if a == b:
            raise UserError(f"'{a}' cannot be aligned with itself; name two inputs.")
    chosen = list(dict.fromkeys(settings.pairs)) or list(combinations(names, 2))
    alone = [name for name in names if not any(name in pair for pair in chosen)]
    if alone:
        raise UserError(f"The input '{alone[0]}' is in no pair; align it with another, or leave it out.")
    return chosen


def objectives(settings: FamilySettings, model: Model, steps: int) -> list[nn.Module]:
    """A contrastive loss for each pair, the one that the model has the parameters of."""
    loss = "sigmoid" if hasattr(model, "logit_bias") else "softmax"
    kinds = {name: encoder.modality for name, encoder in model.encoders.items()}
    return [Contrastive(a, b, loss, labels=settings.labels) for a, b in pairs(settings, kinds)]


def training(settings: FamilySettings, goes_on: bool) -> dict[str, Any]:
    """A learning rate by size, the published one for published sizes; a small one where trained weights go on."""
    rate = SLOW if goes_on else RATE.get(settings.size or SIZE, RATE[SIZE])
    return {"learning_rate": rate, "weight_decay": 0.1}


def sentences(settings: FamilySettings, model: Model, batch_size: int) -> list[str]:
    """None: what its loss is at chance depends on the records, and is said with them."""
    return []


CLIP = Family(towers, model, begun, going_on, objectives, pairs, training, sentences, "pooled")
