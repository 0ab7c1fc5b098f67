"""The trained model that pretraining begins with, its inputs named as the table's columns."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sensorium.data.records import no_tokenizer
from sensorium.data.schema import InputSpec, Schema
from sensorium.encoders import ENCODERS
from sensorium.encoders.clip_image import ClipImage, changed
from sensorium.errors import UserError, unknown
from sensorium.families import FAMILIES
from sensorium.model import Model, load
from sensorium.objectives.momentum import Momentum, Queue
from sensorium.config.schema import InputSettings, Recipe, describe_validation_error
from sensorium.console import Console
from sensorium.build.finetune import apply_finetuning

OBJECTIVES = "objectives.safetensors"  # beside a model, what its training had learned as well: teacher and queue


def load_pretrained(schema: Schema, recipe: Recipe, console: Console | None = None) -> Model:
    """The model of `start_from` for the inputs of `schema`: encoders, projections and temperature of that one.

    An input takes the place of the one that has its name there, else of the only one of its kind. Says so to `console`.
    Raises UserError when there is none, and for encoder settings that the weights do not fit.
    """
    return _begun(load(recipe.start_from), schema, recipe, console)


def restore_objective_state(objectives: list[nn.Module], schema: Schema, recipe: Recipe) -> None:
    """Gives the teacher and the queue among `objectives` what those of `start_from` had learned, where it has any.

    Of its queue, as many pairs as there is room for, the last ones. Raises UserError when the file is damaged.
    """
    tensors = _beside(Path(recipe.start_from))
    parts = {
        kind: next((part for one in objectives for part in one.modules() if isinstance(part, kind)), None)
        for kind in (Momentum, Queue)
    }
    if parts[Momentum] is not None and "teacher.steps" in tensors:
        old = load(recipe.start_from)
        old.load_state_dict(_within(tensors, "teacher.model."))
        theirs = _begun(old, schema, recipe)
        apply_finetuning(theirs, recipe)
        parts[Momentum].model.load_state_dict(theirs.state_dict())
        parts[Momentum].steps.copy_(tensors["teacher.steps"])
    if parts[Queue] is not None and "queue.a" in tensors:
        queue = Queue(*tensors["queue.a"].shape)
        queue.load_state_dict(_within(tensors, "queue."))
        parts[Queue].push(*queue.in_order())


def _beside(run: Path) -> dict[str, Tensor]:
    """What stands beside the model in `run`."""
    file = next((place / OBJECTIVES for place in (run / "model", run) if (place / OBJECTIVES).exists()), None)
    try:
        return {} if file is None else load_file(file)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{file} is damaged; bring a whole copy of {run}, or begin without --from.") from error


def _within(tensors: dict[str, Tensor], front: str) -> dict[str, Tensor]:
    return {name.removeprefix(front): value for name, value in tensors.items() if name.startswith(front)}


def _begun(old: Model, schema: Schema, recipe: Recipe, console: Console | None = None) -> Model:
    """The trained model `old` with the inputs of `schema`."""
    run = Path(recipe.start_from)
    names = [spec.name for spec in schema.inputs]
    for name in recipe.inputs:
        if name not in names:
            raise unknown("input", name, names)
    taken = _matched(schema.inputs, old, run)
    if console is not None:
        console.print(f"Begins with {run}: {', '.join(f'its {theirs} is {mine!r}' for mine, theirs in taken.items())}.")
    encoders = {
        mine: override_encoder_config(old.encoders[theirs], recipe.inputs.get(mine, InputSettings()), mine, run)
        for mine, theirs in taken.items()
    }
    return FAMILIES[recipe.family.name].rebuild_with_inputs(old, encoders, taken, schema)


def _matched(specs: list[InputSpec], old: Model, run: Path) -> dict[str, str]:
    """By input, that of the old model whose place it takes."""
    kinds = {name: encoder.modality for name, encoder in old.encoders.items()}
    taken = {spec.name: spec.name for spec in specs if kinds.get(spec.name) == spec.modality}
    for spec in specs:
        if spec.name not in taken:
            free = [name for name, kind in kinds.items() if kind == spec.modality and name not in taken.values()]
            if len(free) != 1:
                has = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
                which = "none" if not free else "more than one"
                raise UserError(
                    f"The model in {run} has the inputs {has}: {which} to begin '{spec.name}' ({spec.modality}) with;"
                    " align the kinds of inputs that it has, under its names where it has several of one kind."
                )
            taken[spec.name] = free[0]
    for theirs in taken.values():
        if old.encoders[theirs].processor is None:
            raise no_tokenizer(theirs)
    return {spec.name: taken[spec.name] for spec in specs}


def override_encoder_config(encoder: nn.Module, settings: InputSettings, name: str, run: Path) -> nn.Module:
    """A trained encoder with what the settings change of it. Raises UserError for what its weights do not fit."""
    config = encoder.config.model_dump(mode="json")
    other: dict[str, Any] = {key: value for key, value in settings.config.items() if config.get(key, ...) != value}
    if not settings.augment and config.get("augmentation") is not None:
        other["augmentation"] = None
    own = next(known for known, kind in ENCODERS.items() if kind is type(encoder))
    if settings.encoder not in (None, own):
        raise UserError(f"The encoder of '{name}' in {run} is {own}, and its weights fit no other; leave it out.")
    if not other:
        return encoder
    if not isinstance(encoder, ClipImage):
        raise UserError(
            f"The encoder of '{name}' in {run} is a {own}, whose setting {next(iter(other))} stays as it was trained;"
            " leave it out."
        )
    try:
        return changed(encoder, other)
    except ValidationError as error:
        raise UserError(f"In the encoder of '{name}', {describe_validation_error(error.errors()[0])}.") from error
    except RuntimeError as error:
        raise UserError(
            f"The weights of '{name}' in {run} do not fit the setting {' or '.join(other)}; only size, patch_dropout"
            " and how pictures are prepared can change."
        ) from error
