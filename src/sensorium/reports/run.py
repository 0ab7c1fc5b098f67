"""The report of a run: all of its sections in order."""

from sensorium.evaluation.inputs import format_number
from sensorium.evaluation.printing import between
from sensorium.reports.curves import curves
from sensorium.reports.evidence import Evidence
from sensorium.reports.inputs import inputs
from sensorium.reports.media import Media
from sensorium.reports.render import Headline, Section, page, render
from sensorium.reports.retrieval import furthest, retrieval
from sensorium.reports.samples import errors
from sensorium.reports.subgroups import subgroups_section
from sensorium.reports.targets import targets
from sensorium.reports.training import training
from sensorium.reports.values import metric_name, value_of


def run_page(evidence: Evidence) -> str:
    """report.html of a run that learned targets, or aligned inputs."""
    media = None if evidence.records is None else Media(evidence.records)
    sections: list[Section | None] = [training(evidence)]
    if evidence.figures.get("retrieval"):
        sections.append(retrieval(evidence))
        sections.append(furthest(evidence, media) if media else None)
    if evidence.figures.get("targets"):
        sections += [targets(evidence), inputs(evidence, media)]
        sections.append(curves(evidence) if evidence.curves else None)
        sections.append(subgroups_section(evidence) if media else None)
        sections.append(errors(evidence, media) if media else None)
    costs = render("cost", figures=evidence.figures.get("cost", {}), measured=evidence.costs)
    sections.append(Section("cost", "What it costs", costs))
    if evidence.left_out:
        sections.append(Section("left-out", "What is not here", render("left_out", sentences=evidence.left_out)))
    lead = list(evidence.figures.get("sentences", {}).values())
    return page(evidence.name, lead, _headlines(evidence), [section for section in sections if section is not None])


def _headlines(evidence: Evidence) -> list[Headline]:
    """Each target's headline metric, and each direction's recall."""
    figures = evidence.figures
    values = {}
    for name, contributions in figures.get("inputs", {}).items():
        metric = contributions["metric"]
        values[f"{name}: {metric_name(metric)}"] = value_of(figures["targets"][name][metric])
    for name, metrics in figures.get("retrieval", {}).items():
        values[f"{name}: recall@1"] = value_of(metrics["recall@1"])
    headlines = []
    for name, value in values.items():
        chance = "" if value.chance is None else f"chance {format_number(value.chance)}"
        note = "; ".join(text for text in (between(value), chance) if text)
        headlines.append(Headline(name, format_number(value.value), note))
    return headlines
