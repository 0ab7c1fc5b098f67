"""The report of a run: all of its sections in order."""

from sensorium.reports.curves import curves
from sensorium.reports.evidence import Evidence
from sensorium.reports.facts import headlines, origin, shared_verdict, title
from sensorium.reports.inputs import inputs
from sensorium.reports.media import Media
from sensorium.reports.render import Section, page, render
from sensorium.reports.retrieval import furthest, retrieval
from sensorium.reports.samples import errors
from sensorium.reports.subgroups import subgroups_section
from sensorium.reports.targets import targets
from sensorium.reports.training import training
from sensorium.reports.use import use


def run_page(evidence: Evidence) -> str:
    """report.html of a run that learned targets, or aligned inputs."""
    media = None if evidence.records is None else Media(evidence.records)
    sections: list[Section | None] = []
    if evidence.figures.get("retrieval"):
        sections.append(retrieval(evidence))
        sections.append(furthest(evidence, media) if media else None)
    if evidence.figures.get("targets"):
        sections += [targets(evidence), inputs(evidence, media)]
        sections.append(errors(evidence, media) if media else None)
        sections.append(curves(evidence) if evidence.curves else None)
        sections.append(subgroups_section(evidence) if media else None)
    costs = render("cost", figures=evidence.figures.get("cost", {}), measured=evidence.costs)
    sections += [Section("cost", "What it costs", costs), training(evidence), use(evidence)]
    if evidence.left_out:
        sections.append(Section("left-out", "What is not here", render("left_out", sentences=evidence.left_out)))
    present = [section for section in sections if section is not None]
    shared = shared_verdict(evidence.figures)
    lead = [] if shared is None else [shared.sentence]
    return page(title(evidence), lead, headlines(evidence), present, origin(evidence))
