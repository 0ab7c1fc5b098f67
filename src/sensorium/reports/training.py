"""What was trained on what: the records, the columns, the parts, the course of training."""

import pandas as pd
from markupsafe import Markup

from sensorium.reports.evidence import Evidence
from sensorium.reports.plots import Line, lines, nice
from sensorium.reports.render import Section, render


def training(evidence: Evidence) -> Section:
    """The section."""
    schema = evidence.schema
    kinds = {} if schema is None else {target.name: target.kind for target in schema.targets}
    plots = [] if evidence.log is None else _course(evidence.log)
    records, recipe = evidence.figures.get("records", {}), evidence.recipe
    body = render("training", records=records, recipe=recipe, schema=schema, target_kinds=kinds, plots=plots)
    return Section("training", "What was trained on what", body)


def _course(log: pd.DataFrame) -> list[Markup]:
    """Losses and the validation score by epoch; nothing where no loss was written down."""
    if not len(log) or "loss" not in log:
        return []
    epochs = log["epoch"].tolist()
    marks = sorted({round(mark) for mark in nice(min(epochs), max(epochs))} & set(epochs))
    labels = [(float(mark), str(mark)) for mark in marks]
    columns = {"training": "loss", "validation": "validation_loss"}
    losses = [
        Line(name, epochs, log[column].tolist(), tone=tone)
        for tone, (name, column) in enumerate(columns.items())
        if column in log
    ]
    plots = [lines("Loss", losses, "epoch", "loss", labels)]
    if "validation" in log:
        score = Line("validation", epochs, log["validation"].tolist(), tone=1)
        plots.append(lines("Validation score, by which the epoch was chosen", [score], "epoch", "score", labels))
    return plots
