"""What a run learns by beside its targets: inputs brought together, a teacher's decisions; weights of all losses."""

from itertools import combinations

from torch import nn

from sensorium.data.records import Records, draw
from sensorium.data.schema import Schema
from sensorium.data.table import Table
from sensorium.data.targets import TARGETS
from sensorium.encoders.masked_text import MaskedTextProcessor
from sensorium.errors import UserError, unknown
from sensorium.model import Model, load
from sensorium.objectives import (
    OBJECTIVES,
    Contrastive,
    Distillation,
    Dual,
    FeatureDistillation,
    Supervised,
    Uncertainty,
)
from sensorium.objectives.distillation import class_order
from sensorium.objectives.masked import Masked
from sensorium.objectives.of_fusion import OfFusion, has_losses
from sensorium.objectives.teacher import VIEW, Teacher
from sensorium.errors import lookup
from sensorium.config.load import parse_config
from sensorium.config.schema import ObjectiveSettings, Recipe, TargetSettings

TEMPERATURE = 0.07
ALIGNING = ("contrastive", "triplet", "information", "correlation", "dual")
DISTILLING = ("distillation", "feature_distillation")
KNOWN = {name: OBJECTIVES[name] for name in (*ALIGNING, *DISTILLING)}


def aligned_inputs(recipe: Recipe, names: list[str]) -> tuple[list[str], bool]:
    """Which of the inputs `names` the recipe's objectives bring together, and whether any of them is contrastive."""
    aligning = [one for one in recipe.objectives if one.name in ALIGNING]
    chosen = {name for one in aligning for pair in aligned_pairs(one, names) for name in pair}
    return [name for name in names if name in chosen], any(one.name == "contrastive" for one in aligning)


def aligned_pairs(settings: ObjectiveSettings, names: list[str]) -> list[tuple[str, str]]:
    """The two inputs that an objective brings together, or every two of `names`."""
    return [(settings.inputs[0], settings.inputs[1])] if settings.inputs else list(combinations(names, 2))


def check_objectives(table: Table, recipe: Recipe) -> None:
    """Checks that the recipe's objectives exist and fit `table`, before any file is read. Raises UserError."""
    inputs = [spec.name for spec in table.schema.inputs]
    for one in recipe.objectives:
        config = parse_config(lookup(KNOWN, "objective", one.name), one.config, f"the objective '{one.name}'")
        for name in one.inputs:
            if name not in inputs:
                raise unknown("input", name, inputs)
        if one.name in ALIGNING:
            _check_pair(one, inputs)
            _check_labels(getattr(config, "labels", None), table.schema)
        elif len(one.inputs) > (one.name == "feature_distillation"):
            raise UserError(f"The objective '{one.name}' has the inputs {', '.join(one.inputs)}, which is too many.")
    _check_teacher(table, recipe)


def _check_pair(one: ObjectiveSettings, inputs: list[str]) -> None:
    if one.inputs and (len(one.inputs) != 2 or one.inputs[0] == one.inputs[1]):
        raise UserError(
            f"The objective '{one.name}' brings two inputs together, but has {', '.join(one.inputs)}; name two of"
            f" {', '.join(inputs)}."
        )
    if len(inputs) < 2:
        raise UserError(f"The objective '{one.name}' brings two inputs together, but there is only '{inputs[0]}'.")


def _check_labels(labels: str | None, schema: Schema) -> None:
    classes = [spec.name for spec in schema.targets if TARGETS[spec.kind].single_label]
    if labels is not None and labels not in classes:
        raise unknown("target of classes", labels, classes)


def _check_teacher(table: Table, recipe: Recipe) -> None:
    learning = [one for one in recipe.objectives if one.name in DISTILLING]
    if not learning and recipe.teacher is None:
        return
    if recipe.teacher is None:
        raise UserError(f"The objective '{learning[0].name}' learns from a trained run; name it with --teacher.")
    if not learning:
        raise UserError("A teacher is named, but no objective learns from it; add distillation, or leave it out.")
    schema = load(recipe.teacher).schema
    if schema is None:
        raise UserError(f"The model in {recipe.teacher} has no schema, so it cannot read records; take a run's folder.")
    for column in (name for spec in schema.inputs for name in spec.columns):
        if column not in table.frame.columns:
            raise UserError(
                f"The teacher in {recipe.teacher} reads the column '{column}', which {table.source} does not have;"
                " bring it, or take another teacher."
            )
    targets = [spec.name for spec in schema.targets]
    for one in learning:
        if one.target is not None and one.target not in targets:
            raise unknown("target of the teacher", one.target, targets)
    if any(one.name == "distillation" for one in learning):
        for spec in table.schema.targets:
            if spec.name in targets:
                class_order(spec.name, table.schema, schema)


def fitted_by(model: Model, recipe: Recipe) -> list[nn.Module]:
    """All that a fit learns by: its targets, what the fusion itself has to learn, and the recipe's objectives."""
    own = [Supervised(name, recipe.targets.get(name, TargetSettings()).weight) for name in model.heads.names]
    return with_objectives(model, recipe, [*own, OfFusion(model)] if has_losses(model) else own)


def with_objectives(model: Model, recipe: Recipe, own: list[nn.Module]) -> list[nn.Module]:
    """All that `model` learns by: its `own` objectives, and the recipe's.

    A contrastive one among its own makes way where the recipe names one for its pair. Raises UserError for one that the
    model has no place for.
    """
    named = [frozenset(pair) for one in recipe.objectives if one.name in ALIGNING for pair in aligned_pairs(one, _names(model))]
    found = [one for one in own if not (isinstance(one, Contrastive) and frozenset(one.views) in named)]
    teacher = None if recipe.teacher is None else Teacher(load(recipe.teacher).to(model.device))
    for one in recipe.objectives:
        found += _aligning(one, model, recipe) if one.name in ALIGNING else _learning(one, model, teacher)
    names = [name for one in found for name in one.weights]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"Two objectives have the loss '{twice}'; leave one of them out.")
    return [Uncertainty(found)] if recipe.loss_weights == "uncertainty" else found


def _aligning(one: ObjectiveSettings, model: Model, recipe: Recipe) -> list[nn.Module]:
    options = parse_config(KNOWN[one.name], one.config, f"the objective '{one.name}'").model_dump()
    if "labels" in options and recipe.family is not None:
        options["labels"] = options["labels"] or recipe.family.labels
    if one.name == "contrastive":
        options["kind"] = "sigmoid" if hasattr(model, "logit_bias") else "softmax"
    made = []
    for a, b in aligned_pairs(one, _names(model)):
        widths = (_width(model, a), _width(model, b))
        if one.name == "dual":
            made.append(Dual(a, b, widths, weight=one.weight, **options))
        elif widths[0] != widths[1] or (one.name == "contrastive" and not hasattr(model, "logit_scale")):
            raise UserError(
                f"The model has no space that '{a}' and '{b}' share, and one that is gone on from gets none; fit anew"
                f" without --from, or leave the objective '{one.name}' out."
            )
        else:
            made.append(KNOWN[one.name](a, b, weight=one.weight, **options))
    return made


def _learning(one: ObjectiveSettings, model: Model, teacher: Teacher) -> list[nn.Module]:
    options = parse_config(KNOWN[one.name], one.config, f"the objective '{one.name}'").model_dump()
    if one.name == "feature_distillation":
        return [FeatureDistillation(teacher, model, one.inputs[0] if one.inputs else None, one.weight, **options)]
    both = [name for name in model.heads.names if name in teacher.model.heads]
    targets = [one.target] if one.target is not None else both
    if not targets:
        raise UserError("The teacher has none of the targets that are learned; take one that was fitted to them.")
    return [Distillation(teacher, model, name, weight=one.weight, **options) for name in targets]


def objective_sentences(model: Model, recipe: Recipe) -> list[str]:
    """What is learned beside what the run is for, in words."""
    by: dict[tuple[str, str], list[str]] = {}
    for one in recipe.objectives:
        for pair in aligned_pairs(one, _names(model)) if one.name in ALIGNING else []:
            by.setdefault(pair, []).append(one.name)
    said = [f"'{a}' and '{b}' are brought together: {', '.join(names)}." for (a, b), names in by.items()]
    if recipe.teacher is not None:
        said.append(f"The teacher in {recipe.teacher} is learned from as well.")
    return said + ([] if recipe.loss_weights == "fixed" else ["The losses find their weights themselves."])


def with_views(records: Records, model: Model, objectives: list[nn.Module]) -> Records:
    """The training records with the views of their inputs that `objectives` read: those of a teacher, and those in
    which words are masked. Raises UserError for a text whose tokenizer cannot mask.
    """
    parts = [part for one in objectives for part in one.modules()]
    for view in dict.fromkeys(part.view for part in parts if isinstance(part, Masked)):
        name = model.input_of(view)
        processors = {name: MaskedTextProcessor(model.processors[name])}
        # Of its own chance, so that other words are masked than those that an augmentation drops.
        other = Records(records.table, processors, seed=draw(records.seed, view))
        records = records.viewed(view.removeprefix(f"{name}/"), other)
    return _with_teacher(records, [part for part in parts if isinstance(part, Teacher)])


def _with_teacher(records: Records, teachers: list[Teacher]) -> Records:
    """The records with, beside their inputs, those of the teacher that is learned from, if any is."""
    if not teachers:
        return records
    model, own = teachers[0].model, records.table.schema
    schema = model.schema.model_copy(update={"targets": [], "group": own.group, "key": own.key})
    return records.viewed(VIEW, Records(records.table.under(schema), model.processors, seed=records.seed))


def _names(model: Model) -> list[str]:
    return model.encoders.names


def _width(model: Model, name: str) -> int:
    return model.projections[name].out_features if name in model.projections else model.encoders[name].dim
