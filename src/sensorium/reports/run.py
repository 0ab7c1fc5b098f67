"""The report of a run: all of its sections in order."""

from sensorium.evaluation.inputs import format_number
from sensorium.reports.cost import cost
from sensorium.reports.curves import curves
from sensorium.reports.evidence import Evidence
from sensorium.reports.inputs import inputs
from sensorium.reports.media import Media
from sensorium.reports.page import Section, note, page
from sensorium.reports.plots import spelled
from sensorium.reports.retrieval import furthest, retrieval
from sensorium.reports.samples import errors
from sensorium.reports.subgroups import subgroups_section
from sensorium.reports.targets import targets
from sensorium.reports.training import training
from sensorium.reports.values import value_of, words


def run_page(evidence: Evidence) -> str:
    """report.html of a run that learned targets, or aligned inputs."""
    media = None if evidence.held is None else Media(evidence.held)
    sections: list[Section | None] = [training(evidence)]
    if evidence.figures.get("retrieval"):
        sections.append(retrieval(evidence))
        sections.append(furthest(evidence, media) if media else None)
    if evidence.figures.get("targets"):
        sections += [targets(evidence), inputs(evidence, media)]
        sections.append(curves(evidence) if evidence.curves else None)
        sections.append(subgroups_section(evidence) if evidence.held is not None else None)
        sections.append(errors(evidence, media) if media else None)
    sections.append(cost(evidence))
    if evidence.left_out:
        sections.append(Section("left-out", "What is not here", note(*evidence.left_out)))
    kept = [section for section in sections if section is not None]
    return page(evidence.name, list(evidence.figures.get("sentences", {}).values()), _large(evidence), kept)


def _large(evidence: Evidence) -> list[tuple[str, str, str]]:
    """Each target's headline metric, and each direction's recall."""
    shown = []
    for name, known in evidence.figures.get("inputs", {}).items():
        value = value_of(evidence.figures["targets"][name][known["metric"]])
        rest = spelled(value).partition(" (")[2].rstrip(")")
        shown.append((f"{name}: {words(known['metric'])}", format_number(value.value), _beside(rest, value.chance)))
    for name, metrics in evidence.figures.get("retrieval", {}).items():
        value = value_of(metrics["recall@1"])
        rest = spelled(value).partition(" (")[2].rstrip(")")
        shown.append((f"{name}: recall@1", format_number(value.value), _beside(rest, value.chance)))
    return shown


def _beside(interval: str, chance: float | None) -> str:
    parts = [interval] if interval else []
    return "; ".join([*parts, *([] if chance is None else [f"chance {format_number(chance)}"])])
