"""What the model costs: its size, its work, its time, its memory."""

from sensorium.reports.evidence import Evidence
from sensorium.reports.render import Section, render


def cost(evidence: Evidence) -> Section:
    """The section."""
    body = render("cost", figures=evidence.figures.get("cost", {}), measured=evidence.costs)
    return Section("cost", "What it costs", body)
