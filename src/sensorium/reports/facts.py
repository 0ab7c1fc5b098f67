"""What the page and the card of a run both begin with: what is predicted from what, by which run, how good it is."""

import shlex
from importlib import import_module
from typing import Any, NamedTuple

from sensorium.errors import counted
from sensorium.evaluation.inputs import format_number, join_names
from sensorium.evaluation.printing import RIVALS, between
from sensorium.metrics import Value
from sensorium.reports.evidence import Evidence
from sensorium.reports.render import Headline
from sensorium.reports.values import metric_name, value_of

MOST_NAMED = 4  # inputs in a title


class Baseline(NamedTuple):
    """Something cheaper than the model: how good it is by the headline metric, and how much better the model is."""

    name: str
    value: Value
    difference: Value


class Verdict(NamedTuple):
    """How good a model is, in a sentence; kind: in a word."""

    kind: str
    sentence: str


def title(evidence: Evidence) -> str:
    """What is predicted from what; of a retrieval, what is found by what."""
    if evidence.figures.get("retrieval"):
        return "Matching " + join_names(input_names(evidence))
    names = input_names(evidence)
    if len(names) > MOST_NAMED:
        names = [*names[: MOST_NAMED - 1], f"{len(names) - MOST_NAMED + 1} more"]
    return f"Predicting {join_names(list(evidence.figures['targets']))} from {join_names(names)}"


def input_names(evidence: Evidence) -> list[str]:
    """The columns that the model reads; of a run without its schema, the names of its inputs."""
    if evidence.schema is not None:
        return [column for spec in evidence.schema.inputs for column in spec.columns]
    return list(evidence.figures.get("records", {}).get("inputs", {})) or ["its inputs"]


def origin(evidence: Evidence) -> dict[str, str]:
    """Where the figures come from, by what it is called."""
    records, recipe = evidence.figures.get("records", {}), evidence.recipe
    found = {"run": evidence.name, "date": evidence.date}
    if "all" in records:
        found["scored"] = counted(records["all"], "record")
    if recipe is not None:
        found["seed"] = str(recipe["seed"])
        found["command"] = repeat_command(evidence)
    return found | {"version": f"Sensorium {import_module('sensorium').__version__}"}


def repeat_command(evidence: Evidence) -> str:
    """The command that makes the run again."""
    verb, folder = "pretrain" if evidence.figures.get("retrieval") else "fit", evidence.folder
    table = [] if evidence.recipe["data"]["path"] else ["TABLE"]
    return shlex.join(["sensorium", verb, *table, "--recipe", f"{folder}/recipe.yaml", "--out", f"{folder}-again"])


def headline_value(figures: dict[str, Any], target: str) -> tuple[str, Value]:
    """The metric that a target is judged by, and what it is."""
    metric = figures["inputs"][target]["metric"]
    return metric, value_of(figures["targets"][target][metric])


def above_chance(value: Value) -> bool:
    """Whether the interval lies above the chance level."""
    return value.low is not None and value.low > (value.chance or 0.0)


def baselines(figures: dict[str, Any], target: str) -> list[Baseline]:
    """What a target is compared with, the best first; nothing of runs that compared it with nothing."""
    metric, saved = headline_value(figures, target)[0], figures.get("baselines", {}).get(target, [])
    if isinstance(saved, dict):  # as answers had them before every target did
        rivals = [
            Baseline(RIVALS[name], value_of(rival), value_of(rival["above"]))
            for name, rival in saved.items()
            if name != "metric"
        ]
    else:
        rivals = [
            Baseline(rival["name"], value_of(rival["metrics"][metric]), value_of(rival["difference"]))
            for rival in saved
        ]
    return sorted(rivals, key=lambda rival: -(rival.value.value or 0.0))


def verdict(figures: dict[str, Any], target: str) -> Verdict:
    """How good the decisions on a target are, beside chance and baselines."""
    value, rivals = headline_value(figures, target)[1], baselines(figures, target)
    if not above_chance(value):
        return Verdict("chance", f"No better than chance on {target}.")
    if rivals and (rivals[0].difference.low or 0.0) <= 0:
        return Verdict("baseline", f"No better than {rivals[0].name} on {target}.")
    return Verdict("works", f"{target} is predicted better than by chance.")


def headlines(evidence: Evidence) -> list[Headline]:
    """Each target's verdict with its headline metric, and each direction's recall."""
    figures = evidence.figures
    tiles = [_target_headline(figures, name) for name in figures.get("inputs", {})]
    for name, metrics in figures.get("retrieval", {}).items():
        values = {key: value_of(value) for key, value in metrics.items()}
        good = any(above_chance(value) for key, value in values.items() if key.startswith("recall"))
        sentence = figures.get("sentences", {}).get(name, "")
        tiles.append(_headline(name, "recall@1", values["recall@1"], [], sentence, good))
    return tiles


def _target_headline(figures: dict[str, Any], target: str) -> Headline:
    metric, value = headline_value(figures, target)
    judged = verdict(figures, target)
    return _headline(target, metric, value, baselines(figures, target), judged.sentence, judged.kind == "works")


def _headline(name: str, metric: str, value: Value, rivals: list[Baseline], sentence: str, good: bool) -> Headline:
    notes = [between(value), "" if value.chance is None else f"chance {format_number(value.chance)}"]
    notes += [f"{rival.name} {format_number(rival.value.value)}" for rival in rivals[:1]]
    note = "; ".join(text for text in notes if text)
    return Headline(f"{name}: {metric_name(metric)}", format_number(value.value), note, sentence, good)
