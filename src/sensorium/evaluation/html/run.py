"""The report of a run: all of its sections in order."""

from sensorium.evaluation.html.cost import cost
from sensorium.evaluation.html.evidence import Evidence
from sensorium.evaluation.html.inputs import inputs
from sensorium.evaluation.html.page import Section, note, page
from sensorium.evaluation.html.plots import spelled
from sensorium.evaluation.html.targets import targets
from sensorium.evaluation.html.training import training
from sensorium.evaluation.html.values import value_of, words
from sensorium.evaluation.inputs import figure


def run_page(evidence: Evidence) -> str:
    """report.html of a run that learned targets, or aligned inputs."""
    sections = [training(evidence)]
    if evidence.figures.get("targets"):
        sections += [targets(evidence), inputs(evidence)]
    sections.append(cost(evidence))
    if evidence.left_out:
        sections.append(Section("left-out", "What is not here", note(*evidence.left_out)))
    return page(evidence.name, list(evidence.figures.get("sentences", {}).values()), _large(evidence), sections)


def _large(evidence: Evidence) -> list[tuple[str, str, str]]:
    """Each target's headline metric, and each direction's recall."""
    shown = []
    for name, known in evidence.figures.get("inputs", {}).items():
        value = value_of(evidence.figures["targets"][name][known["metric"]])
        rest = spelled(value).partition(" (")[2].rstrip(")")
        shown.append((f"{name}: {words(known['metric'])}", figure(value.value), _beside(rest, value.chance)))
    return shown


def _beside(interval: str, chance: float | None) -> str:
    parts = [interval] if interval else []
    return "; ".join([*parts, *([] if chance is None else [f"chance {figure(chance)}"])])
