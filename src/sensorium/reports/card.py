"""card.md: a run's model card in Markdown, in the layout of the Hugging Face Hub, of the facts that the page has."""

import re
from typing import Any

from sensorium.evaluation.inputs import join_names
from sensorium.reports.evidence import Evidence
from sensorium.reports.facts import baselines, headlines, input_names, origin, shared_verdict, title
from sensorium.reports.inputs import sorted_contributions, worth_sentence
from sensorium.reports.render import ENVIRONMENT
from sensorium.reports.use import NEW, use_lines

MARKS = re.compile(r"[\\`*_{}\[\]<>|#&~$]")  # signs that mean something in Markdown, or in the HTML within it


def run_card(evidence: Evidence) -> str:
    """The card of a run that learned targets, or aligned inputs."""
    figures, schema = evidence.figures, evidence.schema
    modalities = [] if schema is None else sorted({spec.modality for spec in schema.inputs})
    return CARDS.get_template("card.md.j2").render(
        evidence=evidence,
        figures=figures,
        cost=figures.get("cost", {}),
        title=title(evidence),
        origin=origin(evidence),
        headlines=headlines(evidence),
        shared=shared_verdict(figures),
        inputs=input_names(evidence),
        modalities=modalities,
        targets=[_target(figures, name) for name in figures.get("targets", {})],
        lines=None if schema is None else use_lines(evidence),
        new=NEW,
    )


def _target(figures: dict[str, Any], name: str) -> dict[str, Any]:
    return {
        "name": name,
        "metric": figures["inputs"][name]["metric"],
        "metrics": figures["targets"][name],
        "baselines": baselines(figures, name),
        "inputs": sorted_contributions(figures["inputs"][name]),
        "sentence": worth_sentence(figures, name),
    }


def escape_markdown(text: str) -> str:
    """A text as it stands, on one line, wherever Markdown puts it."""
    return MARKS.sub(r"\\\g<0>", " ".join(text.split()))


CARDS = ENVIRONMENT.overlay(autoescape=False)
CARDS.filters = CARDS.filters | {
    "plain": escape_markdown,
    "names": lambda names: escape_markdown(join_names(list(names))),
}
