"""A recipe and a training table made a model."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ValidationError
from torch import nn

from sensorium.data.media.decoding import decode
from sensorium.data.schema import InputSpec, TargetSpec
from sensorium.data.table import Table
from sensorium.data.targets.encode import encode
from sensorium.encoders import ENCODERS
from sensorium.errors import UserError, unknown
from sensorium.fusion import FUSIONS
from sensorium.heads import HEADS
from sensorium.heads.frequent import MOST
from sensorium.model import Model
from sensorium.nn.projection import Projection
from sensorium.config.parts import parse_config, lookup
from sensorium.build.objectives import TEMPERATURE, aligned_inputs, check_objectives
from sensorium.config.schema import InputSettings, Recipe, TargetSettings
from sensorium.build.writing import answer_frequencies, answer_head_config
from sensorium.training.adapters import check_adapters

SCRATCH = {
    "text": "text",
    "image": "image_conv",
    "audio": "audio_conv",
    "video": "video",
    "series": "series",
    "points": "points",
    "table": "table",
}
HEAD_OF = {"class": "classes", "labels": "labels", "number": "number", "answer": "frequent"}
EXPERTS = ("late", "hybrid")


def build(table: Table, recipe: Recipe, facts: dict[str, dict[str, float]]) -> Model:
    """The untrained model for a training table: encoders built from its records, the recipe's fusion, a head a target.

    `facts` are the scan's, by input. The same seed gives the same weights. Raises UserError for a setting that does not
    fit.
    """
    check_model_settings(table, recipe)
    torch.manual_seed(recipe.seed)
    return assemble(table, recipe, build_encoders(table, recipe.inputs, facts, fusion_class(recipe).reads == "pooled"))


def assemble(table: Table, recipe: Recipe, encoders: dict[str, nn.Module]) -> Model:
    """The model of `encoders`, by input of the training table, with the recipe's fusion and a head for each target.

    What is new of it is drawn from torch's global random state. Raises UserError for a setting that does not fit.
    """
    fusion = fusion_class(recipe)
    dims = {name: encoder.dim for name, encoder in encoders.items()}
    fused = fusion(_fusion_config(fusion, recipe), dims)
    heads = {spec.name: _head(table, spec, recipe, fused, encoders) for spec in table.schema.targets}
    shared, contrasts = aligned_inputs(recipe, list(encoders))
    projections = {name: Projection(dims[name], recipe.space) for name in shared}
    return Model(encoders, projections, fused, heads, TEMPERATURE if contrasts else None, table.schema)


def build_encoders(
    table: Table, settings: dict[str, InputSettings], facts: dict[str, dict[str, float]], summary_only: bool
) -> dict[str, nn.Module]:
    """By input of the training table, its encoder; one that several share is made from the values of all of them.

    Raises UserError for a setting or a value that does not fit it.
    """
    sharing: dict[str, list[InputSpec]] = {}
    for spec in table.schema.inputs:
        sharing.setdefault(settings.get(spec.name, InputSettings()).shares or spec.name, []).append(spec)
    made = {
        name: _encoder(table, specs, settings.get(name, InputSettings()), _largest(facts, specs), summary_only)
        for name, specs in sharing.items()
    }
    return {spec.name: made[name] for name, specs in sharing.items() for spec in specs}


def _largest(facts: dict[str, dict[str, float]], specs: list[InputSpec]) -> dict[str, float]:
    """Of each fact about the inputs the largest."""
    known = [facts.get(spec.name, {}) for spec in specs]
    return {key: max(one[key] for one in known if key in one) for one in known for key in one}


def check_model_settings(table: Table, recipe: Recipe) -> None:
    """Sees to it that the recipe's inputs, targets, encoders and fusion exist and fit `table`, before any file is read.

    Raises UserError for the first that does not.
    """
    targets = [spec.name for spec in table.schema.targets]
    for name in recipe.targets:
        if name not in targets:
            raise unknown("target", name, targets)
    check_fusion(recipe, [spec.name for spec in table.schema.inputs])
    check_inputs(table, recipe.inputs)
    check_sampling(table, recipe)
    for spec in table.schema.targets:
        head_name(spec, recipe)
    check_objectives(table, recipe)


def check_fusion(recipe: Recipe, inputs: Sequence[str]) -> None:
    """Sees to it that the recipe's fusion takes `inputs`. Raises UserError for a setting or a number of them that does
    not fit it.
    """
    fusion = fusion_class(recipe)
    # What a fusion refuses it refuses when it is made; the widths are known only after files were read.
    fusion(_fusion_config(fusion, recipe), dict.fromkeys(inputs, 1))


def check_sampling(table: Table, recipe: Recipe) -> None:
    """Sees to it that there are groups where the records of a group are to come together. Raises UserError."""
    if recipe.training.sampling == "grouped" and table.schema.group is None:
        raise UserError("sampling is grouped, but no column is named that groups the records; name it with --group.")


def check_inputs(table: Table, settings: dict[str, InputSettings]) -> None:
    """Sees to it that the settings are of inputs of `table`, and name encoders that read them. Raises UserError."""
    inputs = [spec.name for spec in table.schema.inputs]
    for name in settings:
        if name not in inputs:
            raise unknown("input", name, inputs)
    for spec in table.schema.inputs:
        one = settings.get(spec.name, InputSettings())
        if one.shares is not None:
            _check_sharing(spec, one.shares, table)
        _encoder_config(spec, one)
        if one.adapter is not None:
            check_adapters()


def _check_sharing(spec: InputSpec, shares: str, table: Table) -> None:
    known = {other.name: other.modality for other in table.schema.inputs}
    if shares not in known:
        raise unknown("input", shares, known)
    if known[shares] != spec.modality or spec.modality == "table":
        raise UserError(
            f"'{spec.name}' is {spec.modality} and '{shares}' is {known[shares]}: two inputs share an encoder when both"
            " are text, pictures, sounds, films, series or points."
        )


def fusion_class(recipe: Recipe) -> type:
    """The class of the recipe's fusion. Raises UserError for an unknown name."""
    return lookup(FUSIONS | {"late": FUSIONS["separate"]}, "fusion", recipe.fusion.name)


def _fusion_config(fusion: type, recipe: Recipe) -> BaseModel:
    own = {"modality_dropout": recipe.training.modality_dropout}
    stated = {name: value for name, value in own.items() if name in fusion.Config.model_fields} | recipe.fusion.config
    return parse_config(fusion, stated, f"the fusion '{recipe.fusion.name}'")


def _encoder_config(spec: InputSpec, settings: InputSettings) -> tuple[type, BaseModel]:
    """The kind of encoder of an input, and its settings."""
    name = settings.encoder or SCRATCH[spec.modality]
    kind = lookup(ENCODERS, "encoder", name)
    if kind.modality != spec.modality:
        fitting = ", ".join(known for known, one in ENCODERS.items() if one.modality == spec.modality)
        raise UserError(
            f"The encoder '{name}' reads {kind.modality}, but '{spec.name}' is {spec.modality};"
            f" choose one of: {fitting}."
        )
    return kind, parse_config(kind, settings.config, f"the encoder of '{spec.name}'")


def _encoder(
    table: Table, specs: list[InputSpec], settings: InputSettings, facts: dict[str, float], summary_only: bool
) -> nn.Module:
    kind, config = _encoder_config(specs[0], settings)
    if not settings.augment and "augmentation" in kind.Config.model_fields:
        config = config.model_copy(update={"augmentation": None})
    try:
        return kind.build(config, _Values(table, specs), facts, summary_only)
    except ValidationError:
        raise
    except ValueError as error:
        columns = " and ".join(f"'{spec.name}'" for spec in specs)
        raise UserError(f"Column {columns} of {table.source}: {error}.") from error


class _Values:
    """The decoded training values of inputs, absent ones left out; can be gone through again."""

    def __init__(self, table: Table, specs: list[InputSpec]):
        self.table, self.specs = table, specs

    def __iter__(self) -> Iterator[Any]:
        for spec in self.specs:
            for index in range(len(self.table)):
                value = self.table.value(index, spec)
                if value is not None:
                    yield decode(spec.decoder, value, self.table.root)


def head_name(spec: TargetSpec, recipe: Recipe) -> str:
    """The name of a target's head. Raises UserError for one that does not decide on a target of this kind."""
    name = recipe.targets.get(spec.name, TargetSettings()).head or HEAD_OF[spec.kind]
    if getattr(lookup(HEADS, "head", name), "kind", None) != spec.kind:
        fitting = ", ".join(known for known, one in HEADS.items() if getattr(one, "kind", None) == spec.kind)
        raise UserError(f"The head '{name}' does not decide on '{spec.name}', which is {spec.kind}; choose: {fitting}.")
    if name == "answer" and (recipe.fusion.name in EXPERTS or fusion_class(recipe).reads != "tokens"):
        raise UserError(
            f"The head 'answer' of '{spec.name}' reads tokens, and the fusion '{recipe.fusion.name}' gives none; choose"
            " bert or cross_attention, or the head frequent."
        )
    return name


def _head(
    table: Table, spec: TargetSpec, recipe: Recipe, fusion: nn.Module, encoders: dict[str, nn.Module]
) -> nn.Module:
    settings, name = recipe.targets.get(spec.name, TargetSettings()), head_name(spec, recipe)
    known = answer_head_config(table, spec, encoders) if name == "answer" else statistics(table, spec, settings)
    stated = known | settings.config
    if recipe.fusion.name not in EXPERTS:
        return HEADS[name](parse_config(HEADS[name], stated, f"the head of '{spec.name}'"), fusion.dim)
    late = {"head": name, "config": stated, "experts": fusion.experts, "combine": recipe.fusion.combine}
    return HEADS["late"](parse_config(HEADS["late"], late, f"the head of '{spec.name}'"), fusion.dim)


def statistics(table: Table, spec: TargetSpec, settings: TargetSettings) -> dict[str, Any]:
    """What a head has to know of the training records: sizes, prior, weights of classes, mean and scale of a number."""
    target = encode(table, spec)
    mask = target["mask"].numpy()
    if spec.kind == "number":
        value = target["value"].numpy()[mask].astype(np.float64)
        return {"mean": float(value.mean()), "scale": float(value.std()) or 1.0}
    if spec.kind == "labels":
        share = (target["labels"].numpy()[mask].sum(axis=0) + 0.5) / (mask.sum() + 1)
        return {"classes": len(spec.labels), "prior": share.tolist()}
    if spec.kind == "answer":
        prior = answer_frequencies(target, len(spec.labels))[: settings.config.get("most", MOST)]
        return {"classes": len(prior), "prior": (prior / prior.sum()).tolist()}
    counts = np.bincount(target["label"].numpy()[mask], minlength=len(spec.labels))
    smoothed = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    weights = (
        (counts.sum() / (len(counts) * np.maximum(counts, 1))).tolist()
        if settings.class_weights == "balanced"
        else None
    )
    imbalanced = len(counts) == 2 and bool(smoothed.max() > 0.8)
    return {
        "classes": len(counts),
        "prior": smoothed.tolist(),
        "class_weights": weights,
        "choose_threshold": imbalanced,
    }
