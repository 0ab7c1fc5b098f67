"""What a run prints of itself: the plan before training, and what it came to."""

from typing import Any

from rich.table import Table as Printed
from torch import nn

from sensorium.config.schema import InputSettings, Recipe
from sensorium.console import Console
from sensorium.encoders import ENCODERS
from sensorium.encoders.audio_processor import AudioProcessor
from sensorium.errors import counted
from sensorium.experts.base import inputs_of
from sensorium.fusion import FUSIONS
from sensorium.heads import HEADS
from sensorium.heads.ensemble import Ensemble
from sensorium.model import Model, is_frozen
from sensorium.tasks.base import Closing, Run
from sensorium.training.state import TrainingState


def print_plan(
    console: Console, recipe: Recipe, model: Model, counts: dict[str, int], precision: str, reason: str
) -> None:
    """What will be trained on what. counts: records by split. reason: why in this precision."""
    printed = Printed("part", "what", "parameters", title="The model", title_justify="left")
    for name, encoder in model.encoders.items():
        state = _training_state(encoder, recipe.inputs.get(name, InputSettings()), recipe.cache)
        printed.add_row(f"input {name}", describe_encoder(encoder), f"{_count(encoder)}, {state}")
    for name, projection in model.projections.items():
        printed.add_row(f"projection {name}", f"{projection.out_features} wide", f"{_count(projection)}, trained")
    if model.fusion is not None:
        printed.add_row("fusion", _fusion_name(recipe, model), f"{_count(model.fusion)}, trained")
    for name, head in model.heads.items():
        role = "target" if model.decides else "head"
        printed.add_row(f"{role} {name}", describe_head(head), f"{_count(head)}, trained")
    console.print_detail(printed)
    for name, encoder in model.encoders.items():
        if isinstance(encoder.processor, AudioProcessor):
            console.print(f"Input {name}: {encoder.processor.of_long_clips}.")
    splits = ", ".join(f"{count} {name}" for name, count in counts.items())
    training = recipe.training
    if not console.details:
        parts = [f"{name} by {describe_encoder(encoder)}" for name, encoder in model.encoders.items()]
        parts += [] if model.fusion is None else [f"fusion {_fusion_name(recipe, model)}"]
        console.print(f"Model: {', '.join(parts)}; {_count(model)} parameters.")
    console.print(
        f"Records: {splits}. Up to {counted(training.epochs, 'epoch')} of"
        f" {counted(training.batch_size, 'record')} a step, {precision} ({reason})."
    )


def describe_encoder(encoder: nn.Module) -> str:
    """An encoder's name and its published model, and whether it was pretrained: `text (from scratch)`."""
    name = next(name for name, encoder_class in ENCODERS.items() if encoder_class is type(encoder))
    published = getattr(encoder.config, "model", None)
    start = "pretrained" if encoder.pretrained else "from scratch"
    return f"{name}{f' {published}' if published else ''} ({start}{', frozen' if is_frozen(encoder) else ''})"


def describe_head(head: nn.Module) -> str:
    """A head's name."""
    return next(name for name, head_class in HEADS.items() if head_class is type(head))


def _fusion_name(recipe: Recipe, model: Model) -> str:
    if recipe.family is None:
        return recipe.fusion.name
    return next(name for name, fusion_class in FUSIONS.items() if fusion_class is type(model.fusion))


def print_finished(
    console: Console, run: Run, split: str, state: TrainingState, validation_chose: bool, closing: Closing
) -> None:
    """The report, where all of it is, and the commands that may follow.

    split: the one that was scored. validation_chose: whether the validation records chose the epoch.
    """
    best, refit = state.best_epoch + 1, (run.folder / "refit").exists()
    console.print(
        f"Trained for {counted(state.epoch, 'epoch')}"
        + (f" (best: {best})" if best <= state.epoch > 1 and validation_chose else "")
        + (f", then {best} on training and validation records" if refit else "")
        + f", in {state.seconds:.0f} s."
    )
    if split == "validation":
        optimistic = "; they chose the epoch, so a little too well: hold records out with --test 0.2."
        console.print(
            "Scored on the validation records"
            + (", by the model that had not learned from them" if refit else "")
            + (optimistic if validation_chose else ".")
        )
    console.print_detail(run.report)
    for name, head in run.model.heads.items():
        if isinstance(head, Ensemble):
            console.print_detail(_experts_table(run.model, name, head))
    for what in run.report.brief() + closing.shown:
        console.print_table(what)
    console.print_detail(
        f"Saved in {run.folder}: model/, recipe.yaml, metrics.json, scores.parquet, log.csv, report.html."
    )
    console.print_unbroken(f"Report: {(run.folder / 'report.html').resolve().as_uri()}")
    commands = closing.commands
    console.print_unbroken(f"Next: {commands[0]}" if len(commands) == 1 else "\n  ".join(["Next:", *commands]))


def _training_state(encoder: nn.Module, settings: InputSettings, cache: bool) -> str:
    """What is trained of an encoder, and what is stored of its input."""
    if not is_frozen(encoder):
        adapters = sum(weights.numel() for weights in encoder.parameters() if weights.requires_grad)
        return "trained" if settings.adapter is None else f"of which the {adapters:,} of adapters are trained"
    if not cache:
        return "frozen"
    views = "not augmented" if settings.views == 1 else f"{settings.views} views of each record, all but one augmented"
    return f"frozen, features cached, {views}"


def _count(module: Any) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()):,}"


def _experts_table(model: Model, target: str, head: Ensemble) -> Printed:
    """What decides on a target, from which inputs, and how much each counts."""
    inputs, tokens = model.encoders.names, head.config.network.experts
    names = [("network", name) for name in inputs] + [("network", "several together")] * (tokens - len(inputs))
    names += [(name, ", ".join(inputs_of(expert.config.sources))) for name, _, expert in model.experts.experts]
    title = f"What decides on {target}: averages of what reads the same, multiplied by weight, then averaged"
    printed = Printed("expert", "reads", "share of its average", "weight", title=title, title_justify="left")
    for number, group in enumerate(head.config.groups):
        shares, weight = getattr(head, f"shares_{number}").tolist(), float(head.weights[number])
        for position, share in zip(group, shares, strict=True):
            printed.add_row(*names[position], f"{share:.0%}", f"{weight:.2f}")
    printed.add_section()
    printed.add_row("the product", "", f"{float(head.shares[0]):.0%}", "")
    for position, share in zip(head.config.whole, head.shares[1:].tolist(), strict=True):
        printed.add_row(*names[position], f"{share:.0%}", "")
    return printed
