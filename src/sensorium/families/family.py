"""What a family is to a run: settings that all families share, and the functions that each brings."""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from sensorium.data.schema import Schema
from sensorium.errors import UserError
from sensorium.model import Model


class ProjectionSettings(BaseModel):
    """The way from an encoder's summary into the shared space."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: int | None = Field(None, ge=1, description="width of a layer between; none: one linear map")
    norm: bool = Field(False, description="each summary is brought to mean 0 and variance 1 over its numbers first")
    dropout: float = Field(0.0, ge=0, lt=1, description="of the summary's numbers, in training")
    bias: bool = Field(False, description="whether the last map has one")


class FamilySettings(BaseModel):
    """What is pretrained: which family of models, of what size, and which inputs of a record belong together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="clip or albef")
    size: str | None = Field(
        None,
        description="of the encoders that `inputs` does not name: tiny, ViT-B-32, ViT-B-16, ViT-L-14, of albef tiny or"
        " base; none: tiny",
    )
    dim: int | None = Field(None, ge=1, description="width of the shared space; none: that of the size")
    pairs: list[tuple[str, str]] = Field(
        [], description="which two inputs are aligned, as [[photo, caption], [voice, caption]]; empty: every two"
    )
    loss: Literal["softmax", "sigmoid"] | None = Field(
        None, description="softmax (CLIP) or sigmoid (SigLIP); none: that of `start_from`, else softmax"
    )
    temperature: float | None = Field(
        None,
        gt=0,
        le=1,
        description="at the start, it is learned; none: that of `start_from`, else 0.07 (sigmoid: 0.1)",
    )
    projections: dict[str, ProjectionSettings] = Field(
        {}, description="by input, how its summary comes into the shared space where that is more than a linear map"
    )
    labels: str | None = Field(None, description="column of classes: records of one class belong together as well")
    queue: int | None = Field(
        None,
        ge=1,
        description="of albef: pairs of earlier steps that records are told from too; none: that of the size",
    )
    momentum: float | None = Field(
        None, ge=0, lt=1, description="of albef: the share of itself that the teacher keeps at a step; none: 0.995"
    )
    alpha: float | None = Field(
        None, ge=0, le=1, description="of albef: the teacher's share of a target after the first epoch; none: 0.4"
    )


class Tower(NamedTuple):
    """An encoder's name, and its settings where nothing else is said."""

    encoder: str
    config: dict[str, Any]


class Family(NamedTuple):
    """How a family's models are built and taught.

    towers(settings):                  by kind of input, the encoder that has the size. Raises UserError for settings
                                       that the family does not have.
    model(settings, encoders, schema): the untrained model around encoders, by input.
    begun(old, encoders, taken, schema): the trained model `old` around encoders of it; `taken`: by input, which of its
                                       own inputs that one is. Raises UserError when it is of another family.
    going_on(settings, model):         the settings of a run that begins with a trained model, whose temperature it
                                       sets to theirs. Raises UserError when they ask for another model.
    objectives(settings, model, steps): what it learns by; `steps`: of the optimiser, in an epoch.
    pairs(settings, kinds):            the inputs, name → kind, two by two, that learning brings together. Raises
                                       UserError.
    training(settings, goes_on):       settings of training where nothing else is said; `goes_on`: from a trained model.
    sentences(settings, model, batch_size): what is said before training of losses that are no contrastive loss.
    reads:                             what of its encoders: "tokens", or "pooled", the summary alone.
    """

    towers: Callable[[FamilySettings], dict[str, Tower]]
    model: Callable[[FamilySettings, dict[str, nn.Module], Schema], Model]
    begun: Callable[[Model, dict[str, nn.Module], dict[str, str], Schema], Model]
    going_on: Callable[[FamilySettings, Model], FamilySettings]
    objectives: Callable[[FamilySettings, Model, int], list[nn.Module]]
    pairs: Callable[[FamilySettings, dict[str, str]], list[tuple[str, str]]]
    training: Callable[[FamilySettings, bool], dict[str, Any]]
    sentences: Callable[[FamilySettings, Model, int], list[str]]
    reads: Literal["tokens", "pooled"]


def refuse(settings: FamilySettings, others: tuple[str, ...]) -> None:
    """Sees to it that none of the settings `others`, which the family does not have, is stated. Raises UserError."""
    for name in others:
        if getattr(settings, name) != FamilySettings.model_fields[name].default:
            raise UserError(f"The family {settings.name} has no setting '{name}'; leave it out.")


def set_temperature(settings: FamilySettings, model: Model) -> None:
    """Gives a trained model the temperature that the settings state. Raises UserError when they ask for another shape,
    or the model has none.
    """
    if settings.size is not None or settings.dim is not None:
        raise UserError("The model that --from names has its size and dim already; leave them out, or --from.")
    if settings.projections:
        raise UserError("The model that --from names has its projections already; leave them out, or --from.")
    if not hasattr(model, "logit_scale"):
        raise UserError("The model that --from names aligns nothing, for it has no temperature; name a pretrained one.")
    if settings.temperature is not None:
        with torch.no_grad():
            model.logit_scale.fill_(-math.log(settings.temperature))
