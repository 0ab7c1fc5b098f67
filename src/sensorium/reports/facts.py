"""What the page and the card of a run both begin with: what is predicted from what, by which run, how good it is."""

import shlex
from importlib import import_module
from typing import Any

from sensorium.errors import counted
from sensorium.evaluation.baselines import Baseline
from sensorium.evaluation.inputs import format_number, join_names
from sensorium.evaluation.printing import RIVALS, between
from sensorium.evaluation.verdict import Verdict, retrieval_verdict, verdict
from sensorium.metrics import Value
from sensorium.reports.evidence import Evidence
from sensorium.reports.render import Headline
from sensorium.reports.values import metric_name, value_of

MOST_NAMED = 4  # inputs in a title
WORKS = "works"  # the kind of a verdict that is green
ABOVE_CHANCE = (WORKS, "weak", "below the baseline")  # the kinds of verdicts on what is surely better than chance


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
    facts = {"run": evidence.name, "date": evidence.date}
    if "all" in records:
        facts["scored"] = counted(records["all"], "record")
    if recipe is not None:
        facts["seed"] = str(recipe["seed"])
        facts["command"] = repeat_command(evidence)
    return facts | {"version": f"Sensorium {import_module('sensorium').__version__}"}


def repeat_command(evidence: Evidence) -> str:
    """The command that makes the run again."""
    verb, folder = "pretrain" if evidence.figures.get("retrieval") else "fit", evidence.folder
    table = [] if evidence.recipe["data"]["path"] else ["TABLE"]
    return shlex.join(["sensorium", verb, *table, "--recipe", f"{folder}/recipe.yaml", "--out", f"{folder}-again"])


def headline_value(figures: dict[str, Any], target: str) -> tuple[str, Value]:
    """The metric that a target is judged by, and what it is."""
    metric = figures.get("written", {}).get(target, figures["inputs"][target])["metric"]
    return metric, value_of(figures["targets"][target][metric])


def has_learned(figures: dict[str, Any], target: str) -> bool:
    """Whether the decisions on a target are surely better than chance."""
    return target_verdict(figures, target).kind in ABOVE_CHANCE


def baselines(figures: dict[str, Any], target: str) -> dict[str, Baseline]:
    """What a target is compared with, the best first; nothing of runs that compared it with nothing."""
    rivals = {
        RIVALS.get(name, name): Baseline(value_of(rival), value_of(rival["above"]))
        for name, rival in figures.get("baselines", {}).get(target, {}).items()
        if name != "metric"
    }
    return dict(sorted(rivals.items(), key=lambda rival: -(rival[1].value.value or 0.0)))


def target_verdict(figures: dict[str, Any], target: str) -> Verdict:
    """How good the decisions on a target are; of runs that did not say it, by the same rules."""
    if target in figures.get("verdicts", {}):
        return Verdict(**figures["verdicts"][target])
    records = figures["records"]["targets"].get(target, 0)
    return verdict(*headline_value(figures, target), records, baselines(figures, target))


def shared_verdict(figures: dict[str, Any]) -> Verdict | None:
    """How good a retrieval is in all of its directions; None of another run."""
    if not figures.get("retrieval"):
        return None
    directions = {
        name: {metric: value_of(value) for metric, value in metrics.items()}
        for name, metrics in figures["retrieval"].items()
    }
    sizes = figures["records"].get("retrieval", {}).values()
    return retrieval_verdict(directions, min((size["queries"] for size in sizes), default=0))


def headlines(evidence: Evidence) -> list[Headline]:
    """Each target's headline metric with its verdict; each direction's recall, by the verdict on all of them."""
    figures, shared = evidence.figures, shared_verdict(evidence.figures)
    tiles = [_target_headline(figures, name) for name in figures.get("inputs", {})]
    for name, metrics in figures.get("retrieval", {}).items():
        recall, sentence = value_of(metrics["recall@1"]), figures.get("sentences", {}).get(name, "")
        tiles.append(_headline(name, "recall@1", recall, sentence, shared.kind == WORKS))
    return tiles


def _target_headline(figures: dict[str, Any], target: str) -> Headline:
    metric, value = headline_value(figures, target)
    judged, rivals = target_verdict(figures, target), baselines(figures, target)
    beats_baselines = all(rival.above.low is not None and rival.above.low > 0 for rival in rivals.values())
    return _headline(target, metric, value, judged.sentence, judged.kind == WORKS and beats_baselines)


def _headline(name: str, metric: str, value: Value, sentence: str, good: bool) -> Headline:
    return Headline(f"{name}: {metric_name(metric)}", format_number(value.value), between(value), sentence, good)
