"""What was trained on what: the records, the columns, the parts, the course of training."""

from typing import Any

from sensorium.errors import counted
from sensorium.reports.evidence import Evidence
from sensorium.reports.markup import Html, element, joined, paragraphs, table
from sensorium.reports.page import Section, note, plots
from sensorium.reports.plots import Line, lines

LEFT_OUT = ("path", "columns", "target", "inputs")


def training(evidence: Evidence) -> Section:
    """The section."""
    parts = [_records(evidence), _columns(evidence), _parts(evidence), _course(evidence), _settings(evidence)]
    return Section("training", "What was trained on what", joined(*parts))


def _records(evidence: Evidence) -> Html:
    records, recipe = evidence.figures.get("records", {}), evidence.recipe
    said = []
    if recipe is not None:
        data, path = recipe["data"], recipe["data"]["path"]
        said.append(f"The records come from {path}." if path else "The records were given in Python.")
        said.append(_split(data))
    if "all" in records:
        said.append(
            f"All figures below are of {counted(records['all'], 'record')} that the model has not learned from."
        )
    if records.get("bad"):
        said.append(f"{counted(records['bad'], 'bad record')} set aside and not counted.")
    return paragraphs(*said)


def _split(data: dict[str, Any]) -> str:
    together = f", with all records of one {data['group']} on one side" if data["group"] else ""
    if data["split"]:
        return f"The column {data['split']} says which records were held out."
    if data["test"]:
        return f"A share of {data['test']:.0%} was held out and scored once, at the end{together}."
    return (
        f"No records were held out beyond the {data['validation']:.0%} that chose the epoch{together}; figures of these"
        " are a little too good."
    )


def _columns(evidence: Evidence) -> Html | None:
    if evidence.schema is None:
        return None
    kinds = {target.name: f"target ({target.kind})" for target in evidence.schema.targets}
    rows = [
        [one.name, kinds.get(one.name, one.kind), one.reason, f"{one.absent:.1%}"] for one in evidence.schema.columns
    ]
    return joined(element("h3", "Columns"), table(["column", "kind", "why", "absent in training"], rows, words=3))


def _parts(evidence: Evidence) -> Html | None:
    recipe, schema = evidence.recipe, evidence.schema
    if recipe is None or schema is None:
        return None
    rows = []
    for spec in schema.inputs:
        known = recipe["inputs"].get(spec.name, {})
        model = known.get("config", {}).get("model") or ""
        held = evidence.figures.get("records", {}).get("inputs", {}).get(spec.name)
        rows.append(
            [spec.name, spec.modality, known.get("encoder") or "default", str(model).rsplit("/", 1)[-1], _count(held)]
        )
    headers = ["input", "kind", "encoder", "model", "scored records that have it"]
    family = recipe.get("family")
    fusion = recipe["fusion"]["name"] if family is None else f"none; pretrained as {family['name']}"
    return joined(
        element("h3", "Parts of the model"),
        table(headers, rows, words=4),
        paragraphs(f"Fusion: {fusion}."),
    )


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _course(evidence: Evidence) -> Html | None:
    log = evidence.log
    if log is None or not len(log) or "loss" not in log:
        return None
    epochs = log["epoch"].tolist()
    losses = [Line("training", epochs, log["loss"].tolist())]
    if "validation_loss" in log:
        losses.append(Line("validation", epochs, log["validation_loss"].tolist()))
    score = None
    if "validation" in log:
        score = lines(
            "Validation score, by which the epoch was chosen",
            [Line("validation", epochs, log["validation"].tolist())],
            "epoch",
        )
    return joined(
        element("h3", "Course of training"),
        plots(lines("Loss", losses, "epoch"), score),
        note("The training loss is taken with dropout and augmentation on, the validation loss without."),
    )


def _settings(evidence: Evidence) -> Html | None:
    if evidence.recipe is None:
        return None
    chosen = {key: value for key, value in evidence.recipe["training"].items() if value is not None}
    chosen["seed"] = evidence.recipe["seed"]
    rows = [[name.replace("_", " "), str(value)] for name, value in chosen.items()]
    return element("details", element("summary", "Settings of training"), table(["setting", "value"], rows, words=2))
