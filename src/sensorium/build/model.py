"""A recipe and a training table made a model."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from pydantic import BaseModel, ValidationError
from torch import nn

from sensorium.build.answer_head import answer_head_config
from sensorium.build.objectives import TEMPERATURE, aligned_inputs, check_objectives
from sensorium.config.load import parse_config
from sensorium.config.schema import InputSettings, Recipe, TargetSettings
from sensorium.data.media.decoding import decode
from sensorium.data.records import draw
from sensorium.data.schema import InputSpec, Schema, TargetSpec
from sensorium.data.table import Table
from sensorium.data.targets import TARGETS
from sensorium.encoders import ENCODERS
from sensorium.encoders.decoder_words import DecoderWords
from sensorium.encoders.defaults import fitting_encoders
from sensorium.errors import UserError, lookup, unknown
from sensorium.fusion import FUSIONS
from sensorium.heads import HEADS
from sensorium.metrics.kinds import check_measurable
from sensorium.model import Model, is_frozen
from sensorium.nn.projection import Projection
from sensorium.training.adapters import AdapterSettings, adapt, check_adapters


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
    heads = {spec.name: build_head(table, spec, recipe, fused, encoders) for spec in table.schema.targets}
    shared, contrasts = aligned_inputs(recipe, list(encoders))
    projections = {name: Projection(dims[name], recipe.space) for name in shared}
    return Model(encoders, projections, fused, heads, TEMPERATURE if contrasts else None, table.schema)


def build_encoders(
    table: Table, settings: dict[str, InputSettings], facts: dict[str, dict[str, float]], summary_only: bool
) -> dict[str, nn.Module]:
    """By input of the training table, its encoder; one that several share is made from the values of all of them. Of
    what is written of a sound its encoder reads all.

    Raises UserError for a setting or a value that does not fit it.
    """
    if any(TARGETS[spec.kind].scored_by == "loss" for spec in table.schema.targets):
        facts = {
            name: of_input | {"whole": 1.0} if "longest" in of_input else of_input for name, of_input in facts.items()
        }
    sharing: dict[str, list[InputSpec]] = {}
    for spec in table.schema.inputs:
        sharing.setdefault(settings.get(spec.name, InputSettings()).shares or spec.name, []).append(spec)
    encoders = {
        name: _encoder(table, specs, settings.get(name, InputSettings()), _largest(facts, specs), summary_only)
        for name, specs in sharing.items()
    }
    return {spec.name: encoders[name] for name, specs in sharing.items() for spec in specs}


def _largest(facts: dict[str, dict[str, float]], specs: list[InputSpec]) -> dict[str, float]:
    """Of each fact about the inputs the largest."""
    by_input = [facts.get(spec.name, {}) for spec in specs]
    keys = {key for of_input in by_input for key in of_input}
    return {key: max(of_input[key] for of_input in by_input if key in of_input) for key in keys}


def check_model_settings(table: Table, recipe: Recipe) -> None:
    """Checks that the recipe's inputs, targets, encoders and fusion exist and fit `table`, before any file is read.

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
        head_class(spec, recipe)
        check_measurable(spec.kind)
        normalise = recipe.targets.get(spec.name, TargetSettings()).normalise
        if normalise != "none" and not getattr(TARGETS[spec.kind], "normalises", False):
            raise UserError(f"'{spec.name}' is {spec.kind}, and only texts are normalised; leave normalise out.")
    check_objectives(table, recipe)


def check_fusion(recipe: Recipe, inputs: Sequence[str]) -> None:
    """Checks that the recipe's fusion takes `inputs`. Raises UserError for a setting or a number of them that does
    not fit it.
    """
    fusion = fusion_class(recipe)
    # What a fusion refuses it refuses when it is made; the widths are known only after files were read.
    fusion(_fusion_config(fusion, recipe), dict.fromkeys(inputs, 1))


def check_sampling(table: Table, recipe: Recipe) -> None:
    """Checks that there are groups where the records of a group are to come together. Raises UserError."""
    if recipe.training.sampling == "grouped" and table.schema.group is None:
        raise UserError("sampling is grouped, but no column is named that groups the records; name it with --group.")


def check_inputs(table: Table, settings: dict[str, InputSettings]) -> None:
    """Checks that the settings are of inputs of `table`, and name encoders that read them. Raises UserError."""
    inputs = [spec.name for spec in table.schema.inputs]
    for name in settings:
        if name not in inputs:
            raise unknown("input", name, inputs)
    for spec in table.schema.inputs:
        input_settings = settings.get(spec.name, InputSettings())
        if input_settings.shares is not None:
            _check_sharing(spec, input_settings.shares, table)
        _encoder_config(spec, input_settings)
        if input_settings.adapter is not None:
            check_adapters()


def _check_sharing(spec: InputSpec, shares: str, table: Table) -> None:
    modalities = {each.name: each.modality for each in table.schema.inputs}
    if shares not in modalities:
        raise unknown("input", shares, modalities)
    if modalities[shares] != spec.modality or spec.modality == "table":
        raise UserError(
            f"'{spec.name}' is {spec.modality} and '{shares}' is {modalities[shares]}: two inputs share an encoder when"
            " both are text, pictures, sounds, films, series or points."
        )


def fusion_class(recipe: Recipe) -> type:
    """The class of the recipe's fusion. Raises UserError for an unknown name."""
    return lookup(FUSIONS, "fusion", recipe.fusion.name)


def with_pictures(table: Table, recipe: Recipe) -> Table:
    """The table with, for each target that is about an input, which one: what the recipe says, or the only one of its
    kind. Raises UserError where there are several or none, and for a cell that does not fit its picture.
    """
    targets = []
    for spec in table.schema.targets:
        about = getattr(TARGETS[spec.kind], "about", None)
        candidates = [] if about is None else table.schema.inputs_of(about)
        name = recipe.targets.get(spec.name, TargetSettings()).picture or spec.picture
        if name is not None and name not in candidates:
            raise unknown(f"picture (for '{spec.name}')", name, candidates)
        if about is not None and name is None and len(candidates) != 1:
            raise UserError(
                f"'{spec.name}' is {spec.kind}, and the table has {len(candidates)} inputs of the kind {about}"
                f" ({', '.join(candidates) or 'none'}); name the one that it is about with"
                f" --head {spec.name}={TARGETS[spec.kind].default_head},picture=NAME."
            )
        targets.append(spec if about is None else spec.model_copy(update={"picture": name or candidates[0]}))
    if targets == table.schema.targets:
        return table
    table = table.under(table.schema.model_copy(update={"targets": targets}))
    for spec in targets:
        table.cells(spec.name, spec.kind)
    return table


def with_usual_fusion(table: Table, recipe: Recipe) -> Recipe:
    """The recipe with the fusion of the first head that says which one it usually has; as it is where a fusion is
    named.
    """
    if "name" in recipe.fusion.model_fields_set:
        return recipe
    for spec in table.schema.targets:
        settings = recipe.targets.get(spec.name, TargetSettings())
        usual = getattr(HEADS.get(settings.head or TARGETS[spec.kind].default_head), "usual_fusion", None)
        if usual is not None:
            name, config = usual(settings.config)
            fusion = recipe.fusion.model_copy(update={"name": name, "config": config | recipe.fusion.config})
            return recipe.model_copy(update={"fusion": fusion})
    return recipe


def _fusion_config(fusion: type, recipe: Recipe) -> BaseModel:
    shared = {"modality_dropout": recipe.training.modality_dropout}
    settings = {name: value for name, value in shared.items() if name in fusion.Config.model_fields}
    return parse_config(fusion, settings | recipe.fusion.config, f"the fusion '{recipe.fusion.name}'")


def _encoder_config(spec: InputSpec, settings: InputSettings) -> tuple[type, BaseModel]:
    """The kind of encoder of an input, and its settings."""
    fitting = fitting_encoders(spec.modality)
    name = settings.encoder or fitting[0]
    kind = lookup(ENCODERS, "encoder", name)
    if name not in fitting:
        raise UserError(
            f"The encoder '{name}' reads {kind.modality}, but '{spec.name}' is {spec.modality};"
            f" choose one of: {', '.join(fitting)}."
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


def head_class(spec: TargetSpec, recipe: Recipe) -> tuple[str, type]:
    """The name and the class of a target's head. Raises UserError for one that does not decide on a target of this
    kind, or needs more than the fusion gives.
    """
    name = recipe.targets.get(spec.name, TargetSettings()).head or TARGETS[spec.kind].default_head
    head, fusion = lookup(HEADS, "head", name), fusion_class(recipe)
    if getattr(head, "kind", None) != spec.kind:
        fitting = ", ".join(known for known, kind in HEADS.items() if getattr(kind, "kind", None) == spec.kind)
        raise UserError(f"The head '{name}' does not decide on '{spec.name}', which is {spec.kind}; choose: {fitting}.")
    if getattr(head, "writes", False) and (fusion.gives_experts or fusion.reads != "tokens"):
        choices = (
            "transformer, or leave the fusion out"
            if hasattr(head, "usual_fusion")
            else ("bert or cross_attention, or the head frequent")
        )
        raise UserError(
            f"The head '{name}' of '{spec.name}' reads tokens, and the fusion '{recipe.fusion.name}' gives none; choose"
            f" {choices}."
        )
    return name, head


def head_settings(table: Table, spec: TargetSpec, recipe: Recipe, encoders: dict[str, nn.Module]) -> dict[str, Any]:
    """The settings of a target's head: what it has to know of the training records, and what the recipe says."""
    settings, (_, head) = recipe.targets.get(spec.name, TargetSettings()), head_class(spec, recipe)
    balanced = settings.class_weights == "balanced"
    learned = TARGETS[spec.kind].statistics(table.target_column(spec), len(table), spec.labels, balanced)
    if getattr(head, "writes", False) and not hasattr(head, "build"):
        learned = answer_head_config(spec, learned["prior"], encoders)
    config = parse_config(head, learned | settings.config, f"the head of '{spec.name}'")
    return config.model_dump(exclude_unset=True)


def build_head(
    table: Table, spec: TargetSpec, recipe: Recipe, fusion: nn.Module, encoders: dict[str, nn.Module]
) -> nn.Module:
    """The untrained head of a target; where each token of the fusion is an expert, one of several."""
    (name, head), config = head_class(spec, recipe), head_settings(table, spec, recipe, encoders)
    if fusion.gives_experts:
        config = {"head": name, "config": config, "experts": fusion.experts, "combine": recipe.fusion.combine}
        head = HEADS["late"]
    parsed = parse_config(head, config, f"the head of '{spec.name}'")
    if hasattr(head, "build"):
        lenders = [each for each, encoder in encoders.items() if lends_words(encoder, parsed)]
        if lenders and "tied" in head.Config.model_fields:
            parsed = parsed.model_copy(update={"tied": lenders[0]})
        return head.build(parsed, fusion.dim, TARGETS[spec.kind].examples(table.cells(spec.name, spec.kind)))
    return head(parsed, fusion.dim)


def lends_words(encoder: nn.Module, config: BaseModel) -> bool:
    """Whether the encoder reads words by the embeddings of the model that a head with this `config` writes with."""
    return isinstance(encoder, DecoderWords) and encoder.config.model == getattr(config, "model", None)


def apply_finetuning(model: Model, recipe: Recipe) -> None:
    """Freezes the encoders that stay as they are, and gives adapters to those that the recipe says have some.

    Raises UserError when an input's settings ask for what its encoder, as it is trained, cannot do.
    """
    for name, encoder in model.encoders.items():
        settings = recipe.inputs.get(name, InputSettings())
        if settings.shares is not None:  # the encoder was seen to as that input's
            continue
        encoder.requires_grad_(not should_freeze(encoder, settings))
        if settings.adapter is not None and settings.frozen:
            raise UserError(f"The encoder of '{name}' is frozen, and its adapter too; leave frozen or the adapter out.")
        if settings.adapter is not None:
            adapt(encoder, settings.adapter, name, draw(recipe.seed, name, "adapter"))
        if settings.layer_decay is not None and is_frozen(encoder):
            raise UserError(
                f"The encoder of '{name}' is frozen, so layer_decay has no learning rates to grade; state frozen=false,"
                " or leave layer_decay out."
            )
        if settings.views > 1:
            _check_views(name, encoder, recipe, model.schema)
    for name, head in model.heads.items():
        _finetune_head(name, head, recipe)


def _finetune_head(name: str, head: nn.Module, recipe: Recipe) -> None:
    """Freezes a published decoder, or gives it adapters; what is before it is trained anyhow."""
    trained, adapter = getattr(head.config, "train", "whole"), recipe.targets.get(name, TargetSettings()).adapter
    if adapter is not None or trained == "adapters":
        adapt(head, adapter or AdapterSettings(), name, draw(recipe.seed, name, "adapter"), "head")
        head.projector.requires_grad_(True)
    elif trained == "frozen":
        head.body.requires_grad_(False)


def should_freeze(encoder: nn.Module, settings: InputSettings) -> bool:
    """Whether the encoder stays as it is: as the input's settings say, else when it is pretrained."""
    return encoder.pretrained if settings.frozen is None else settings.frozen


def untrained_inputs(model: Model, recipe: Recipe) -> list[str]:
    """The inputs whose encoder training leaves as it is. One that had adapters looks frozen once they are merged."""
    settings = {name: recipe.inputs.get(name, InputSettings()) for name in model.encoders.names}
    own = {name: recipe.inputs.get(each.shares or name, InputSettings()) for name, each in settings.items()}
    return [name for name, encoder in model.encoders.items() if is_frozen(encoder) and own[name].adapter is None]


def cached_inputs(model: Model, recipe: Recipe) -> list[str]:
    """The inputs whose features are computed once and kept."""
    return untrained_inputs(model, recipe) if recipe.cache else []


def _check_views(name: str, encoder: nn.Module, recipe: Recipe, schema: Schema) -> None:
    if not (recipe.cache and is_frozen(encoder)):
        raise UserError(
            f"Only a cached input has stored views, and '{name}' is changed anew in each epoch, for its encoder is"
            " trained or the cache is off; leave views out, or state frozen=true."
        )
    if getattr(encoder.config, "augmentation", None) is None:
        raise UserError(
            f"Nothing changes '{name}' at random, so all its views would be the same; leave views out, or let augment"
            " be true and the encoder have an augmentation."
        )
    for target in schema.targets:
        if target.picture == name:
            raise UserError(
                f"The places of '{target.name}' would not move with the stored views of '{name}'; leave views out."
            )
