"""A model that begins with a trained one's parts: for pretraining all of it, for a fit its encoders and its fusion."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sensorium.build.model import apply_finetuning, assemble, build_encoders, fusion_class
from sensorium.config.load import describe_validation_error
from sensorium.config.schema import InputSettings, Recipe, TargetSettings
from sensorium.data.records import no_tokenizer
from sensorium.data.schema import InputSpec, Schema
from sensorium.data.table import Table
from sensorium.encoders import ENCODERS
from sensorium.encoders.clip_image import ClipImage, changed
from sensorium.encoders.text_processor import TextProcessor
from sensorium.errors import UserError, counted, unknown
from sensorium.families import FAMILIES
from sensorium.fusion.bert import BertFusion
from sensorium.heads import HEADS
from sensorium.heads.answer import Answer
from sensorium.model import Model, load
from sensorium.objectives.momentum import Momentum, Queue

OBJECTIVES = "objectives.safetensors"  # beside a model, what its training had learned as well: teacher and queue
MEASURED_TEXTS = 1000  # texts whose length is measured
SHAPE = ("layers", "heads", "ratio", "dropout", "eps")  # what a decoder takes from the fusion that it begins with


def match_inputs(
    specs: Sequence[InputSpec], old: Model, shares: Mapping[str, str | None] | None = None
) -> dict[str, list[str]]:
    """By input, the inputs of the trained model `old` whose encoder it may take: that of its name alone, else all of
    its kind that no other input takes.

    shares: by input, another input whose encoder it shares, so that it may take what that one takes. Raises UserError
    for an encoder that came without its tokenizer.
    """
    kinds = {name: encoder.modality for name, encoder in old.encoders.items()}
    candidates = {spec.name: [spec.name] for spec in specs if kinds.get(spec.name) == spec.modality}
    taken = {name for names in candidates.values() for name in names}
    for spec in specs:
        if spec.name not in candidates:
            fitting = [name for name, kind in kinds.items() if kind == spec.modality]
            free = fitting if (shares or {}).get(spec.name) else [name for name in fitting if name not in taken]
            candidates[spec.name] = free
            taken |= set(free) if len(free) == 1 else set()
    for names in candidates.values():
        if len(names) == 1 and old.encoders[names[0]].processor is None:
            raise no_tokenizer(names[0])
    return {spec.name: candidates[spec.name] for spec in specs}


def load_pretrained(schema: Schema, recipe: Recipe, old: Model) -> Model:
    """The model `old` of `start_from` for the inputs of `schema`: encoders, projections and temperature of that one.

    An input takes the place of the one that has its name there, else of the only one of its kind. Raises UserError when
    there is none, and for encoder settings that the weights do not fit.
    """
    run = Path(recipe.start_from)
    names = [spec.name for spec in schema.inputs]
    for name in recipe.inputs:
        if name not in names:
            raise unknown("input", name, names)
    old = copy.deepcopy(old)
    sources = pretrained_inputs(schema, recipe, old)
    encoders = {
        name: override_encoder_config(old.encoders[source], recipe.inputs.get(name, InputSettings()), name, run)
        for name, source in sources.items()
    }
    return FAMILIES[recipe.family.name].rebuild_with_inputs(old, encoders, sources, schema)


def pretrained_inputs(schema: Schema, recipe: Recipe, old: Model) -> dict[str, str]:
    """By input, the one of `old`, the model of `start_from`, that it replaces. Raises UserError where there is none."""
    sources = {}
    for spec, names in zip(schema.inputs, match_inputs(schema.inputs, old).values(), strict=True):
        if len(names) != 1:
            count = "none" if not names else "more than one"
            raise UserError(
                f"The model in {recipe.start_from} has the inputs {_listed_inputs(old)}: {count} to begin '{spec.name}'"
                f" ({spec.modality}) with; align the kinds of inputs that it has, under its names where it has several"
                " of one kind."
            )
        sources[spec.name] = names[0]
    return sources


def restore_objective_state(objectives: list[nn.Module], schema: Schema, recipe: Recipe) -> None:
    """Gives the teacher and the queue among `objectives` what those of `start_from` had learned, where it has any.

    Of its queue, as many pairs as there is room for, the last ones. Raises UserError when the file is damaged.
    """
    tensors = _read_objective_state(Path(recipe.start_from))
    modules = [module for objective in objectives for module in objective.modules()]
    momentum = next((module for module in modules if isinstance(module, Momentum)), None)
    queue = next((module for module in modules if isinstance(module, Queue)), None)
    if momentum is not None and "teacher.steps" in tensors:
        old = load(recipe.start_from)
        old.load_state_dict(_under(tensors, "teacher.model."))
        teacher = load_pretrained(schema, recipe, old)
        apply_finetuning(teacher, recipe)
        momentum.model.load_state_dict(teacher.state_dict())
        momentum.steps.copy_(tensors["teacher.steps"])
    if queue is not None and "queue.a" in tensors:
        old_queue = Queue(*tensors["queue.a"].shape)
        old_queue.load_state_dict(_under(tensors, "queue."))
        queue.push(*old_queue.in_order())


def _read_objective_state(run: Path) -> dict[str, Tensor]:
    """What stands beside the model in `run`; {} for nothing."""
    file = next((folder / OBJECTIVES for folder in (run / "model", run) if (folder / OBJECTIVES).exists()), None)
    try:
        return {} if file is None else load_file(file)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{file} is damaged; bring a whole copy of {run}, or begin without --from.") from error


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def override_encoder_config(encoder: nn.Module, settings: InputSettings, name: str, run: Path) -> nn.Module:
    """A trained encoder with what the settings change of it. Raises UserError for what its weights do not fit."""
    config = encoder.config.model_dump(mode="json")
    overrides: dict[str, Any] = {key: value for key, value in settings.config.items() if config.get(key, ...) != value}
    if not settings.augment and config.get("augmentation") is not None:
        overrides["augmentation"] = None
    kind = next(kind for kind, encoder_class in ENCODERS.items() if encoder_class is type(encoder))
    if settings.encoder not in (None, kind):
        raise UserError(f"The encoder of '{name}' in {run} is {kind}, and its weights fit no other; leave it out.")
    if not overrides:
        return encoder
    if not isinstance(encoder, ClipImage):
        raise UserError(
            f"The encoder of '{name}' in {run} is a {kind}, whose setting {next(iter(overrides))} stays as it was"
            " trained; leave it out."
        )
    try:
        return changed(encoder, overrides)
    except ValidationError as error:
        raise UserError(f"In the encoder of '{name}', {describe_validation_error(error.errors()[0])}.") from error
    except RuntimeError as error:
        raise UserError(
            f"The weights of '{name}' in {run} do not fit the setting {' or '.join(overrides)}; only size,"
            " patch_dropout and how pictures are prepared can change."
        ) from error


def init_from_pretrained(table: Table, recipe: Recipe, facts: dict[str, dict[str, float]], old: Model) -> Model:
    """The model for a training table, with what the model `old` of `begin_with` has of it: encoders, the fusion `bert`,
    a decoder.

    An input takes the encoder of its name there, else of the only one of its kind; one of a kind that is not there is
    built from the records. The decoder of answers begins as that model's own, else as its fusion, whose blocks are its
    blocks (Li et al. 2021, arXiv:2107.07651, section 5). All else is new, drawn by the recipe's seed. Raises UserError
    for settings that the weights do not fit.
    """
    run, old = Path(recipe.begin_with), copy.deepcopy(old)
    torch.manual_seed(recipe.seed)
    sources, summary_only = initial_inputs(table, recipe, old), fusion_class(recipe).reads == "pooled"
    # Encoders: those of the trained model, and new ones for inputs of a kind that it does not have.
    encoders: dict[str, nn.Module] = {}
    for name, source in sources.items():
        settings = recipe.inputs.get(name, InputSettings())
        shared = encoders.get(settings.shares) if settings.shares else None
        encoder = override_encoder_config(old.encoders[source], settings, name, run) if shared is None else shared
        encoder.summary_only = summary_only
        encoders[name] = encoder
    new_inputs = [spec for spec in table.schema.inputs if spec.name not in sources]
    if new_inputs:
        narrow = table.under(table.schema.model_copy(update={"inputs": new_inputs}))
        encoders |= build_encoders(narrow, recipe.inputs, facts, summary_only)
    ordered = {spec.name: encoders[spec.name] for spec in table.schema.inputs}
    # The fusion and a decoder, where the text that leads is the one that led there.
    leading = sources.get(recipe.fusion.config.get("query") or table.schema.inputs[0].name)
    fused_alike = fusion_class(recipe) is BertFusion and isinstance(old.fusion, BertFusion)
    if not (fused_alike and leading == old.fusion.query):
        return assemble(table, recipe, ordered)
    model = assemble(table, _with_shape(recipe, old), ordered)
    _load_part(model.fusion, _fusion_state(model.fusion, old, sources), f"The fusion of {run}")
    for _, head in model.heads.items():
        if isinstance(head, Answer):
            _load_part(head, head.state_dict() | _decoder_state(head, old), f"The decoder of {run}")
    return model


def check_pretrained(recipe: Recipe, folder: Path) -> None:
    """Checks that a run in `folder`, which begins with a trained one, begins with one alone. Raises UserError."""
    if recipe.start_from is not None:
        raise UserError(
            "start_from goes on with a trained run, targets and all, and begin_with takes its encoders and fusion for"
            " other targets; leave one of the two out."
        )
    if Path(recipe.begin_with).resolve() == folder.resolve():
        raise UserError(f"--from and --out are both {folder}; give the run that begins with it a folder of its own.")


def pretrained_sentences(table: Table, recipe: Recipe, old: Model) -> list[str]:
    """Which input begins with which of the trained model `old`, and which texts are longer than what is read of them.

    Raises UserError as `init_from_pretrained` does.
    """
    sources = initial_inputs(table, recipe, old)
    pairs = ", ".join(f"its {source} is {name!r}" for name, source in sources.items())
    sentences = [f"Begins with {recipe.begin_with}: {pairs}."]
    for name, source in sources.items():
        processor = old.encoders[source].processor
        if isinstance(processor, TextProcessor):
            texts = [text for text in table.cells(name, "text")[:MEASURED_TEXTS] if text is not None]
            cut = sum(bool(encoding.overflowing) for encoding in processor.tokenizer.encode_batch(texts))
            if cut:
                sentences.append(
                    f"Of the first {counted(len(texts), 'text')} of '{name}' {cut:,} are longer than what is"
                    f" read of them, {processor.max_tokens} tokens; pre-train with more, as --encoder"
                    f" {source}=bert_text,context=64."
                )
    return sentences


def initial_inputs(table: Table, recipe: Recipe, old: Model) -> dict[str, str]:
    """By input, that of the model `old` of `begin_with` whose encoder it begins with.

    Raises UserError when there is none for any input, or several of an input's kind, of which none has its name.
    """
    shares = {name: settings.shares for name, settings in recipe.inputs.items()}
    sources = {}
    for name, names in match_inputs(table.schema.inputs, old, shares).items():
        if len(names) > 1:
            raise UserError(
                f"The model in {recipe.begin_with} has several inputs of the kind of '{name}': {', '.join(names)};"
                " give the column the name of the one that is meant."
            )
        if names:
            sources[name] = names[0]
    if not sources:
        raise UserError(
            f"The model in {recipe.begin_with} has the inputs {_listed_inputs(old)}, none of a kind that {table.source}"
            " has; begin with another, or leave it out."
        )
    return sources


def _listed_inputs(model: Model) -> str:
    return ", ".join(f"{name} ({encoder.modality})" for name, encoder in model.encoders.items())


def _with_shape(recipe: Recipe, old: Model) -> Recipe:
    """The recipe with the fusion's shape, and that of a decoder, where it does not say otherwise."""
    config = old.fusion.config.model_dump(mode="json", exclude={"query", "context"})
    fusion = recipe.fusion.model_copy(update={"config": config | recipe.fusion.config})
    decoder = next((head.config for _, head in old.heads.items() if isinstance(head, Answer)), old.fusion.config)
    shape = {name: getattr(decoder, name) for name in SHAPE}
    targets = {
        name: settings.model_copy(update={"config": shape | settings.config}) if _writes_answers(settings) else settings
        for name, settings in recipe.targets.items()
    }
    return recipe.model_copy(update={"fusion": fusion, "targets": targets})


def _writes_answers(settings: TargetSettings) -> bool:
    return HEADS.get(settings.head or "") is Answer


def _fusion_state(fusion: BertFusion, old: Model, sources: dict[str, str]) -> dict[str, Tensor]:
    """The old fusion's weights under the names of the new one, whose contexts may be more or in another order."""
    old_state, old_contexts, state = old.fusion.state_dict(), old.fusion.context, {}
    order = [old_contexts.index(sources[name]) if sources.get(name) in old_contexts else 0 for name in fusion.context]
    for name in fusion.state_dict():
        steps = name.split(".")
        for index, step in enumerate(steps[:-1]):
            if step in ("asking", "crossings"):
                steps[index + 1] = str(order[int(steps[index + 1])])
        if ".".join(steps) in old_state:
            state[name] = old_state[".".join(steps)]
    return state


def _decoder_state(head: Answer, old: Model) -> dict[str, Tensor]:
    """What a decoder begins with: that of the trained model, else its fusion, its words and how it fills them in."""
    decoder = next((module for _, module in old.heads.items() if isinstance(module, Answer)), None)
    if decoder is not None:
        weights: dict[str, Tensor] = dict(decoder.named_parameters())
    else:
        text, words = old.encoders[old.fusion.query], old.heads["words"] if "words" in old.heads else nn.Module()
        modules = {"blocks.": old.fusion.blocks, "asking.": old.fusion.asking[0]}
        modules |= {"embeddings.": getattr(text, "embeddings", nn.Module())}
        modules |= {"network.": getattr(words, "network", nn.Module())}
        weights = {
            prefix + name: value for prefix, module in modules.items() for name, value in module.state_dict().items()
        }
    state = head.state_dict()
    return {name: value for name, value in weights.items() if name in state and state[name].shape == value.shape}


def _load_part(module: nn.Module, state: dict[str, Any], description: str) -> None:
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise UserError(
            f"{description} does not fit the recipe ({str(error).splitlines()[1].strip()}); leave the shape of the"
            " fusion out, which is that of the weights."
        ) from error
