"""What a family is to a run: its settings, and the protocol by which a run builds and trains its models."""

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol

import torch
from pydantic import BaseModel, Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from torch import nn

from sensorium.data.schema import Schema
from sensorium.errors import UserError
from sensorium.model import Model

# What the section `family` of a recipe holds, whatever the family, with the values of settings that a family lacks.
# The fingerprints of runs hash the section, so it keeps these keys. A new family's own settings do not belong here.
RECIPE_KEYS: dict[str, Any] = {
    "name": None, "size": None, "dim": None, "pairs": [], "loss": None, "temperature": None, "projections": {},
    "labels": None, "queue": None, "momentum": None, "alpha": None,
}  # fmt: skip


class ProjectionSettings(BaseModel, frozen=True, extra="forbid"):
    """The way from an encoder's summary into the shared space."""

    hidden: int | None = Field(None, ge=1, description="width of a layer between; none: one linear map")
    norm: bool = Field(False, description="each summary is brought to mean 0 and variance 1 over its numbers first")
    dropout: float = Field(0.0, ge=0, lt=1, description="of the summary's numbers, in training")
    bias: bool = Field(False, description="whether the last map has one")


class SharedSettings(BaseModel, frozen=True, extra="forbid"):
    """The settings that all families have, to which each adds its own.

    A recipe states all of RECIPE_KEYS: those that a family lacks are dropped when its settings are read, and written
    back with them. Raises UserError when one that it lacks is set."""

    name: str
    size: str | None
    dim: int | None = Field(None, ge=1, description="width of the shared space; none: that of the size")
    temperature: float | None

    @property
    def class_column(self) -> str | None:
        """The column of classes whose records belong together as well; None for a family without that setting."""
        return getattr(self, "labels", None)

    @model_validator(mode="before")
    @classmethod
    def _drop_absent_settings(cls, settings: Any) -> Any:
        if not isinstance(settings, Mapping):
            return settings
        absent = {name: value for name, value in RECIPE_KEYS.items() if name not in cls.model_fields}
        for name, value in absent.items():
            if settings.get(name, value) != value:
                raise UserError(f"The family {settings.get('name')} has no setting '{name}'; leave it out.")
        return {name: value for name, value in settings.items() if name not in absent}

    @model_serializer(mode="wrap")
    def _write_recipe_keys(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        absent = {name: value for name, value in RECIPE_KEYS.items() if name not in type(self).model_fields}
        settings = absent | handler(self)
        return {name: settings[name] for name in (*RECIPE_KEYS, *settings) if name in settings}


class Tower(NamedTuple):
    """An encoder's name, and its default settings."""

    encoder: str
    config: dict[str, Any]


class Family(Protocol):
    """How a family's models are built and trained. `settings` are those of the family's class `Settings`."""

    Settings: type[SharedSettings]
    reads: Literal["tokens", "pooled"]
    """What the family's models read of their encoders: all tokens, or the summary alone."""
    labels_are_texts: bool
    """Whether texts are learned of the classes' labels too, so that the tokenizer has to know them."""

    def towers(self, settings: Any) -> dict[str, Tower]:
        """By kind of input, the encoder that has the size of the settings. Raises UserError for an unknown size."""

    def build_model(self, settings: Any, encoders: dict[str, nn.Module], schema: Schema) -> Model:
        """The untrained model around `encoders`, by input name. Raises UserError for encoders that do not fit."""

    def rebuild_with_inputs(
        self, trained: Model, encoders: dict[str, nn.Module], sources: dict[str, str], schema: Schema
    ) -> Model:
        """The model `trained` under new input names: around `encoders`, which are its own, by new name. sources: by new
        name, the input of `trained` that it was. Raises UserError when `trained` is of another family."""

    def continue_from(self, settings: Any, trained: Model) -> Any:
        """The settings of a run that begins with `trained`, whose temperature it sets. Raises UserError."""

    def pairs(self, settings: Any, kinds: dict[str, str]) -> list[tuple[str, str]]:
        """The pairs of inputs, name → kind, that learning brings together. Raises UserError for others."""

    def objectives(self, settings: Any, model: Model, steps: int) -> list[nn.Module]:
        """What the model learns by. steps: optimiser steps in an epoch."""

    def training_defaults(self, settings: Any, continues: bool) -> dict[str, Any]:
        """Default settings of training. continues: whether the run begins with a trained model."""

    def contrastive_loss(self, settings: Any) -> Literal["softmax", "sigmoid"] | None:
        """The contrastive loss that every objective has, whose value at chance follows from the records; None for a
        family with other losses, whose `chance_sentences` say that value."""

    def chance_sentences(self, settings: Any, model: Model, batch_size: int) -> list[str]:
        """Sentences on the losses of a model that has learned nothing, where `contrastive_loss` is None."""


class FittedFamily(Protocol):
    """A family whose composition a fit can take as plain settings, for a target of its records.

    fit_columns: options that name the columns it needs. fit_options: all of its options, those of the columns first.
    """

    fit_columns: tuple[str, ...]
    fit_options: tuple[str, ...]

    def fit_settings(self, *, group: str | None, begin_with: Any, **options: Any) -> dict[str, Any]:
        """The nested settings of a recipe, which name no family; a target's settings name their `head`.

        group: the column that is stated to hold records together. begin_with: the folder of a trained model, or None.
        Raises UserError for an option that does not fit.
        """
        ...


def picture_and_text(kinds: dict[str, str], family: str) -> tuple[str, str]:
    """The names of the picture and of the text among inputs, name → kind. Raises UserError for any other inputs."""
    if sorted(kinds.values()) != ["image", "text"]:
        listed = ", ".join(f"'{name}' ({kind})" for name, kind in kinds.items())
        raise UserError(f"{family} has one picture and one text, and the inputs are {listed}; name one column of each.")
    image, text = sorted(kinds, key=lambda name: kinds[name])
    return image, text


def check_no_size(settings: SharedSettings) -> None:
    """Checks that settings with a trained model state neither size nor width. Raises UserError."""
    if settings.size is not None or settings.dim is not None:
        raise UserError("The model that --from names has its size and dim already; leave them out, or --from.")


def set_temperature(settings: SharedSettings, trained: Model) -> None:
    """Gives a trained model the temperature that the settings state. Raises UserError when the model has none."""
    if not hasattr(trained, "logit_scale"):
        raise UserError("The model that --from names aligns nothing, for it has no temperature; name a pretrained one.")
    if settings.temperature is not None:
        with torch.no_grad():
            trained.logit_scale.fill_(-math.log(settings.temperature))
