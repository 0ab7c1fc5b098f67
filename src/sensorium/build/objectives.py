"""What a run learns by beside its targets: inputs brought together, a teacher's decisions; weights of all losses."""

from itertools import combinations

import pandas as pd
from torch import nn

from sensorium.config.load import parse_config
from sensorium.config.schema import ObjectiveSettings, Recipe, TargetSettings
from sensorium.data.label_texts import label_texts
from sensorium.data.records import Records, draw
from sensorium.data.schema import Schema
from sensorium.data.table import Table
from sensorium.data.targets import TARGETS
from sensorium.encoders.masked_text import MaskedTextProcessor
from sensorium.errors import UserError, lookup, unknown
from sensorium.families import FAMILIES
from sensorium.model import Model, load
from sensorium.objectives import OBJECTIVES, Contrastive, Supervised, Uncertainty
from sensorium.objectives.aligned_text import AlignedText, transcribed_sound
from sensorium.objectives.dense_places import DensePlaces, placed_picture
from sensorium.objectives.masked import Masked
from sensorium.objectives.of_fusion import OfFusion, has_losses
from sensorium.objectives.of_recipe import AligningObjective, DistillingObjective
from sensorium.objectives.teacher import VIEW, Teacher
from sensorium.objectives.unicl import LABEL

TEMPERATURE = 0.07


def recipe_objectives() -> dict[str, type[AligningObjective] | type[DistillingObjective]]:
    """By name, the objectives that a recipe can name."""
    return {name: kind for name, kind in OBJECTIVES.items() if hasattr(kind, "aligns") or hasattr(kind, "distills")}


def _aligns(settings: ObjectiveSettings) -> bool:
    return getattr(OBJECTIVES.get(settings.name), "aligns", False)


def _distills(settings: ObjectiveSettings) -> bool:
    return getattr(OBJECTIVES.get(settings.name), "distills", False)


def aligned_inputs(recipe: Recipe, names: list[str]) -> tuple[list[str], bool]:
    """Which of the inputs `names` the recipe's objectives bring together, and whether any of these needs the model's
    temperature.
    """
    aligning = [settings for settings in recipe.objectives if _aligns(settings)]
    aligned = {name for settings in aligning for pair in aligned_pairs(settings, names) for name in pair}
    needs_temperature = any(OBJECTIVES[settings.name].needs_temperature for settings in aligning)
    return [name for name in names if name in aligned], needs_temperature


def aligned_pairs(settings: ObjectiveSettings, names: list[str]) -> list[tuple[str, str]]:
    """The two inputs that an objective brings together, or every two of `names`."""
    return [(settings.inputs[0], settings.inputs[1])] if settings.inputs else list(combinations(names, 2))


def check_objectives(table: Table, recipe: Recipe) -> None:
    """Checks that the recipe's objectives exist and fit `table`, before any file is read. Raises UserError."""
    inputs = [spec.name for spec in table.schema.inputs]
    for settings in recipe.objectives:
        objective = lookup(recipe_objectives(), "objective", settings.name)
        config = parse_config(objective, settings.config, f"the objective '{settings.name}'")
        for name in settings.inputs:
            if name not in inputs:
                raise unknown("input", name, inputs)
        if _aligns(settings):
            _check_pair(settings, inputs)
            _check_labels(getattr(config, "labels", None), table.schema)
        elif len(settings.inputs) > objective.most_inputs:
            raise UserError(
                f"The objective '{settings.name}' has the inputs {', '.join(settings.inputs)}, which is too many."
            )
    _check_teacher(table, recipe)


def _check_pair(settings: ObjectiveSettings, inputs: list[str]) -> None:
    if settings.inputs and (len(settings.inputs) != 2 or settings.inputs[0] == settings.inputs[1]):
        raise UserError(
            f"The objective '{settings.name}' brings two inputs together, but has {', '.join(settings.inputs)}; name"
            f" two of {', '.join(inputs)}."
        )
    if len(inputs) < 2:
        raise UserError(f"The objective '{settings.name}' brings two inputs together, but there is only '{inputs[0]}'.")


def _check_labels(labels: str | None, schema: Schema) -> None:
    classes = [spec.name for spec in schema.targets if TARGETS[spec.kind].single_label]
    if labels is not None and labels not in classes:
        raise unknown("target of classes", labels, classes)


def _check_teacher(table: Table, recipe: Recipe) -> None:
    distilling = [settings for settings in recipe.objectives if _distills(settings)]
    if not distilling and recipe.teacher is None:
        return
    if recipe.teacher is None:
        raise UserError(f"The objective '{distilling[0].name}' learns from a trained run; name it with --teacher.")
    if not distilling:
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
    for settings in distilling:
        if settings.target is not None and settings.target not in targets:
            raise unknown("target of the teacher", settings.target, targets)
    for name in dict.fromkeys(settings.name for settings in distilling):
        OBJECTIVES[name].check_schemas(table.schema, schema)


def fitted_by(model: Model, recipe: Recipe) -> list[nn.Module]:
    """All objectives of a fit: its targets, what tokens of pictures and sounds learn beside what is written of them,
    the losses of the fusion itself, and the recipe's objectives.
    """
    weights = {name: recipe.targets.get(name, TargetSettings()).weight for name in model.heads.names}
    usual: list[nn.Module] = [Supervised(name, weight) for name, weight in weights.items()]
    if recipe.start_from is None:  # a model that goes on reads its tokens already, and their layers would begin anew
        usual += [objective for name in weights for objective in _of_tokens(model, name, weights[name])]
    return with_objectives(model, recipe, [*usual, OfFusion(model)] if has_losses(model) else usual)


def _of_tokens(model: Model, head: str, weight: float) -> list[nn.Module]:
    picture, sound = placed_picture(model, head), transcribed_sound(model, head)
    if picture is not None:
        return [DensePlaces(model, head, picture, weight)]
    return [] if sound is None else [AlignedText(model, head, sound, weight)]


def with_objectives(model: Model, recipe: Recipe, usual: list[nn.Module]) -> list[nn.Module]:
    """All that `model` learns by: the `usual` objectives of the run, and the recipe's.

    A usual contrastive objective is left out where the recipe names an objective for its pair. Raises UserError for one
    that does not fit the model.
    """
    names = model.encoders.names
    aligning = [settings for settings in recipe.objectives if _aligns(settings)]
    pairs = [frozenset(pair) for settings in aligning for pair in aligned_pairs(settings, names)]
    objectives = [
        objective
        for objective in usual
        if not (isinstance(objective, Contrastive) and frozenset(objective.views) in pairs)
    ]
    teacher = None if recipe.teacher is None else Teacher(load(recipe.teacher).to(model.device))
    for settings in recipe.objectives:
        if _aligns(settings):
            objectives += _build_aligning(settings, model, recipe)
        else:
            objectives += _build_distilling(settings, model, teacher)
    losses = [name for objective in objectives for name in objective.weights]
    repeated = next((name for name in losses if losses.count(name) > 1), None)
    if repeated is not None:
        raise UserError(f"Two objectives have the loss '{repeated}'; leave one of them out.")
    return [Uncertainty(objectives)] if recipe.loss_weights == "uncertainty" else objectives


def _build_aligning(settings: ObjectiveSettings, model: Model, recipe: Recipe) -> list[nn.Module]:
    """One objective for each pair. Raises UserError when the model has no space that the pair shares."""
    objective: type[AligningObjective] = OBJECTIVES[settings.name]
    options = parse_config(objective, settings.config, f"the objective '{settings.name}'").model_dump()
    if "labels" in options and recipe.family is not None and not FAMILIES[recipe.family.name].labels_are_texts:
        options["labels"] = options["labels"] or recipe.family.class_column
    lacks_temperature = objective.needs_temperature and not hasattr(model, "logit_scale")
    objectives = []
    for a, b in aligned_pairs(settings, model.encoders.names):
        dims = (model.embedding_width(a), model.embedding_width(b))
        if lacks_temperature or (objective.shares_space and dims[0] != dims[1]):
            raise UserError(
                f"The model has no space that '{a}' and '{b}' share, and one that is gone on from gets none; fit anew"
                f" without --from, or leave the objective '{settings.name}' out."
            )
        objectives.append(objective(a, b, weight=settings.weight, **options | objective.model_options(model, dims)))
    return objectives


def _build_distilling(settings: ObjectiveSettings, model: Model, teacher: Teacher) -> list[nn.Module]:
    objective: type[DistillingObjective] = OBJECTIVES[settings.name]
    options = parse_config(objective, settings.config, f"the objective '{settings.name}'").model_dump()
    return objective.build_all(teacher, model, settings.inputs, settings.target, settings.weight, **options)


def objective_sentences(model: Model, recipe: Recipe) -> list[str]:
    """Sentences on what is learned beside what the run is for."""
    names_of_pair: dict[tuple[str, str], list[str]] = {}
    for settings in recipe.objectives:
        for pair in aligned_pairs(settings, model.encoders.names) if _aligns(settings) else []:
            names_of_pair.setdefault(pair, []).append(settings.name)
    sentences = [
        f"'{a}' and '{b}' are brought together: {', '.join(names)}." for (a, b), names in names_of_pair.items()
    ]
    if recipe.teacher is not None:
        sentences.append(f"The teacher in {recipe.teacher} is learned from as well.")
    if recipe.loss_weights != "fixed":
        sentences.append("The losses find their weights themselves.")
    return sentences


def with_views(records: Records, model: Model, objectives: list[nn.Module]) -> Records:
    """The training records with the views of their inputs that `objectives` read: those of a teacher, those in which
    words are masked, and the labels of classes. Raises UserError for a text whose tokenizer cannot mask.
    """
    modules = [module for objective in objectives for module in objective.modules()]
    for view in dict.fromkeys(view for module in modules for view in getattr(module, "views", ())):
        if view.endswith(f"/{LABEL}") and view not in model.encoders:
            name = model.input_of(view)
            table = label_texts(records.table, name)
            ids = pd.factorize(table.frame[name])[0] + 1  # 0 where it is absent
            labels = Records(table, {name: model.processors[name]}, {name: ids}, seed=records.seed)
            records = records.viewed(LABEL, labels)
    for view in dict.fromkeys(module.view for module in modules if isinstance(module, Masked)):
        name = model.input_of(view)
        processors = {name: MaskedTextProcessor(model.processors[name])}
        # A seed of the view's own, so that other words are masked than those that an augmentation drops.
        masked = Records(records.table, processors, seed=draw(records.seed, view))
        records = records.viewed(view.removeprefix(f"{name}/"), masked)
    return _with_teacher(records, [module for module in modules if isinstance(module, Teacher)])


def _with_teacher(records: Records, teachers: list[Teacher]) -> Records:
    """The records with, beside their inputs, those of the teacher, if there is one."""
    if not teachers:
        return records
    model, student_schema = teachers[0].model, records.table.schema
    roles = {"targets": [], "group": student_schema.group, "key": student_schema.key}
    schema = model.schema.model_copy(update=roles)
    return records.viewed(VIEW, Records(records.table.under(schema), model.processors, seed=records.seed))
