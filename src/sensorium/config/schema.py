"""A run's typed configuration. The YAML of a run, its Python and its command line are the same call."""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from sensorium.errors import UserError
from sensorium.families import FamilySettings
from sensorium.files import whole_file
from sensorium.training.adapters import AdapterSettings
from sensorium.training.settings import TrainingSettings

BUDGET = re.compile(r"(\d+(?:\.\d+)?)([smh])")


def seconds(budget: str) -> float:
    """How long a budget such as 90s, 30m or 2h is."""
    number, unit = BUDGET.fullmatch(budget).groups()
    return float(number) * {"s": 1, "m": 60, "h": 3600}[unit]


class Frozen(BaseModel):
    """Settings that are checked when they are built and never change after."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(Frozen):
    """Which table, what its columns are, and how it is split."""

    path: str | None = Field(None, description="the table's file; none for records that were given in Python")
    columns: dict[str, str] = Field({}, description="kinds of columns, where the guess is not what is meant")
    inputs: list[str] = Field(
        [], description="the columns that are inputs, where not all are: for pretraining those that are aligned"
    )
    target: dict[str, str | None] = Field(
        {}, description="what is learned; a kind (class, labels, number, answer, text, boxes) or none to guess it"
    )
    group: str | None = Field(None, description="column whose records share a source and stay on one side of a split")
    key: str | None = Field(None, description="column that names a record")
    test: float | None = Field(
        None, gt=0, lt=1, description="share of the records held out and scored once, at the end"
    )
    split: str | None = Field(
        None, description="column that says which records are held out; its value 'test', or `held_out`"
    )
    held_out: str | None = Field(None, description="the value of `split` that is held out")
    validation: float = Field(
        0.15, gt=0, lt=1, description="share of the training records that chooses epoch and thresholds"
    )
    near_copies: bool = Field(
        True, description="records whose texts, pictures or sounds are nearly equal stay on one side of every split"
    )
    bad_records: Literal["stop", "skip", "absent"] = Field(
        "stop", description="what to do with a file that cannot be read: set its record aside, or take it as absent"
    )
    strict: bool = Field(False, description="stop where it is not clear what a column is, or a cell cannot be read")

    def source(self, records: Any) -> Any:
        """The records that were given, else the recipe's file. Raises UserError when there is neither."""
        source = self.path if records is None else records
        if source is None:
            raise UserError("There are no records to learn from; give a table, or a recipe whose data has a path.")
        return source

    @staticmethod
    def stated_path(source: Any) -> dict[str, str]:
        """The setting `path` of records that come from a file; {} of others."""
        return {"path": str(source)} if isinstance(source, str | Path) else {}


class InputSettings(Frozen):
    """How one input is encoded. `config` goes to the encoder."""

    shares: str | None = Field(
        None, description="another input, whose encoder this one has too, weights and settings and all"
    )
    encoder: str | None = Field(
        None, description="name of an encoder; none takes the small one of the input's kind, from scratch"
    )
    config: dict[str, Any] = Field({}, description="settings of the encoder")
    frozen: bool | None = Field(None, description="weights stay as they are; none freezes pretrained encoders")
    learning_rate: float | None = Field(None, gt=0, description="learning rate of this encoder")
    layer_decay: float | None = Field(
        None, gt=0, le=1, description="each layer of this encoder learns at the rate of the one above it times this"
    )
    adapter: AdapterSettings | None = Field(
        None, description="low-rank matrices beside the encoder's weights are trained, the weights themselves are not"
    )
    augment: bool = Field(
        True, description="random changes of the input in training; of a cached input only in its stored views"
    )
    views: int = Field(
        1,
        ge=1,
        description="of a cached input that are kept: itself, and randomly changed ones; an epoch draws of them",
    )


class TargetSettings(Frozen):
    """How one target is learned. `config` goes to the head."""

    weight: float = Field(1.0, gt=0, description="of its loss in the sum")
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced: a class's loss weighs by its rarity"
    )
    head: str | None = Field(None, description="name of the head; none: the usual one of the target's kind")
    normalise: Literal["none", "english"] = Field(
        "none",
        exclude_if="none".__eq__,
        description="english: texts are compared after Whisper's normaliser, without punctuation, capitals and fillers",
    )
    picture: str | None = Field(
        None, exclude_if=lambda name: name is None, description="of boxes: the input they are in; none: the only one"
    )
    adapter: AdapterSettings | None = Field(
        None, description="low-rank matrices beside the weights of a published decoder are trained, not the weights"
    )
    config: dict[str, Any] = Field({}, description="settings of the head")


class FusionSettings(Frozen):
    """How the inputs come together: a fusion's name; with `late` each input decides for itself first."""

    name: str = Field("hybrid", description="hybrid, late or another of docs/fusions.md")
    combine: Literal["mean", "learned", "vote", "product"] = Field(
        "product", description="how late and hybrid come to one decision"
    )
    config: dict[str, Any] = Field({}, description="settings of the fusion")


class ObjectiveSettings(Frozen):
    """A loss beside those of the targets; in pretraining, in the place of the family's. `config` goes to it."""

    name: str = Field(
        description="contrastive, triplet, information, correlation or dual, which bring inputs together;"
        " distillation or feature_distillation, which learn from `teacher`"
    )
    inputs: list[str] = Field(
        [], description="the two that are brought together; empty: every two. Of feature_distillation the one that is"
        " compared; empty: all of them fused"
    )  # fmt: skip
    target: str | None = Field(None, description="of distillation: whose decision is learned; none: every target's")
    weight: float = Field(1.0, gt=0, description="of this loss in the sum")
    config: dict[str, Any] = Field({}, description="settings of the objective")


class Recipe(Frozen):
    """Everything that a run depends on, besides the records themselves."""

    data: DataSettings = DataSettings()
    inputs: dict[str, InputSettings] = {}
    targets: dict[str, TargetSettings] = {}
    fusion: FusionSettings = FusionSettings()
    family: FamilySettings | None = Field(None, discriminator="name")
    objectives: list[ObjectiveSettings] = []
    loss_weights: Literal["fixed", "uncertainty"] = Field(
        "fixed", description="uncertainty: the weights of all losses in the sum are learned, beside those stated"
    )
    space: int = Field(
        128, ge=1, description="width of the space in which the objectives of a fit bring inputs together"
    )
    teacher: str | None = Field(None, description="folder of the trained run that distillation learns from")
    training: TrainingSettings = TrainingSettings()
    preset: Literal["fast", "good", "best"] = Field(
        "good", description="how much training the choice of a model is worth: docs/experts.md has time and quality"
    )
    budget: str | None = Field(
        None, description="time for trying settings, as 90s, 30m or 2h: the best on the validation records is taken"
    )
    experts: bool | None = Field(
        None,
        description="boosted trees and linear models join the network's decision, where the fusion has experts; none:"
        " of a fit that does not go on from another",
    )
    cache: bool = Field(True, description="features of frozen encoders are kept on disk")
    cache_gigabytes: float = Field(20.0, gt=0, description="largest size of the cache")
    seed: int = Field(0, ge=0, lt=2**63, description="number that every random choice follows from")
    start_from: str | None = Field(None, description="folder of a trained run to go on from, with new records")
    begin_with: str | None = Field(
        None,
        description="folder of a trained run or a checkpoint whose encoders and fusion a fit begins with, by kind of"
        " input; its targets are new",
    )
    old_table: str | None = Field(
        None, description="file of the records that `start_from` learned from; none takes the one its recipe names"
    )

    @field_validator("budget")
    @classmethod
    def _is_time(cls, budget: str | None) -> str | None:
        if budget is not None and (BUDGET.fullmatch(budget) is None or seconds(budget) == 0):
            raise ValueError("a number and its unit, as 90s, 30m or 2h")
        return budget

    @model_validator(mode="before")
    @classmethod
    def _copy_shared_settings(cls, settings: Any) -> Any:
        """Gives an input that shares another's encoder that one's settings."""
        inputs = settings.get("inputs") if isinstance(settings, Mapping) else None
        if not isinstance(inputs, Mapping):
            return settings
        copied = dict(inputs)
        for name, value in inputs.items():
            shares = _setting(value, "shares")
            if isinstance(shares, str):
                with suppress(ValidationError):  # the field's own check says what is wrong there
                    copied[name] = _shared_settings(name, shares, inputs)
        return {**settings, "inputs": copied}

    def save(self, path: Path) -> None:
        """Writes the recipe as YAML, whole or not at all."""
        with whole_file(path) as new:
            new.write_text(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True), "utf-8")


def _setting(settings: Any, name: str) -> Any:
    return settings.get(name) if isinstance(settings, Mapping) else getattr(settings, name, None)


def _shared_settings(name: str, shares: str, inputs: Mapping[str, Any]) -> InputSettings:
    """The settings of the input `shares`, for the input `name`, which has its encoder. Raises ValueError."""
    first = InputSettings.model_validate(inputs.get(shares, {}))
    copied = first.model_copy(update={"shares": shares})
    if first.shares is not None or shares == name:
        raise ValueError(f"'{name}' shares the encoder of an input that has one of its own")
    if InputSettings.model_validate(inputs[name]) not in (InputSettings(shares=shares), copied):
        raise ValueError(f"'{name}' shares the encoder of '{shares}', so only that one has settings")
    return copied
