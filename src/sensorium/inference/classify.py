"""Classifying files or a table by labels, written as it is done, so that memory does not grow with the records."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.table import Table as Printed
from rich.text import Text

from sensorium.console import Console
from sensorium.data.read import read
from sensorium.data.scan import drop_bad_records, scan
from sensorium.data.sources.collect_files import collect_files
from sensorium.data.table import Table
from sensorium.errors import UserError, counted
from sensorium.evaluation.embedding import narrowed, workers_for
from sensorium.evaluation.inputs import format_number
from sensorium.evaluation.truth import truth_of
from sensorium.evaluation.zero_shot import ZeroShot
from sensorium.files import whole_file
from sensorium.inference.predict import CHUNK, list_bad_records, suffix_of, write_rows
from sensorium.model import HasModel, Model, RecordSource, model_of
from sensorium.nn.torch_state import usual_torch

MOST_SHOWN = 40
AUTO = "auto"
SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("label", pa.string()),
        ("probability", pa.float32()),
        ("absent", pa.bool_()),
        ("top_labels", pa.list_(pa.string())),
        ("top_probabilities", pa.list_(pa.float32())),
    ]
)


@usual_torch()
def classify(
    run: HasModel | Model | str | Path,
    source: RecordSource,
    labels: str | Path | Sequence[str],
    *,
    templates: str | Path | Sequence[str] = "plain",
    top: int = 5,
    none_below: float | str | None = None,
    support: str | Path | None = None,
    target: str | None = None,
    input: str | None = None,
    text: str | None = None,
    out: str | Path | None = None,
    bad_records: str = "stop",
    quiet: bool = False,
) -> dict[str, Any]:
    """Gives each record of `source` (see collect_files) one of the labels, without training (see ZeroShot).

    support, target: a table with known labels in the column `target`, by which the probabilities are calibrated.
    none_below: the probability below which the label is left empty; "auto" has the support choose it.
    out: a file (.parquet, .csv or .jsonl) for key, label, probability, absent and the `top` labels and probabilities,
    written whole or not at all; without it they are printed unless `quiet`. Records set aside are listed in
    bad_records.csv beside it.
    Returns {"records", "set_aside", "out", "bad_records", "calibration"}, and without `out` also "predictions".
    Raises UserError for what the user can mend.
    """
    console = Console(quiet)
    suffix = None if out is None else suffix_of(out)
    _check(top, none_below, support, target)
    threshold = None if none_below in (None, AUTO) else float(none_below)
    model = model_of(run)
    with console.spinner("Encoding the labels"):
        shot = ZeroShot(model, labels, templates, input, text, none_below=threshold)
    table = narrowed(collect_files(source, model.schema, shot.input), [shot.input])
    count, bad = len(table), []
    if not count:
        raise UserError(f"{table.source} has no records, so there is nothing to classify.")
    if bad_records != "stop":
        table, scanned = drop_bad_records(table, scan(table, workers_for(table)), bad_records)
        bad = scanned.bad
    summary = {"records": len(table), "set_aside": count - len(table), "out": out and str(out), "bad_records": None}
    summary["calibration"] = support and _calibrate(shot, support, target, none_below == AUTO, console)
    with console.progress("Classifying", len(table)) as advance:
        chunks = _classify_chunks(shot, table, top, advance)
        if out is None:
            summary["predictions"] = [row for rows in chunks for row in rows]
        else:
            with whole_file(Path(out)) as new:
                write_rows(chunks, SCHEMA, new, suffix)
    summary["bad_records"] = list_bad_records(bad, out)
    _print_summary(summary, console)
    return summary


def _check(top: int, none_below: float | str | None, support: Any, target: str | None) -> None:
    if top < 1:
        raise UserError(f"--top {top} asks for no label; give at least 1.")
    if none_below not in (None, AUTO):
        try:
            float(none_below)
        except ValueError as error:
            raise UserError(f"--none-below {none_below} is no probability; give one, as 0.3, or 'auto'.") from error
    if none_below == AUTO and support is None:
        raise UserError("--none-below auto is chosen on labelled records; give them with --support and --target.")
    if (support is None) != (target is None):
        raise UserError("--support and --target go together: a table with known labels, and the column they are in.")


def _calibrate(shot: ZeroShot, support: str | Path, target: str, threshold: bool, console: Console) -> dict[str, Any]:
    table = read(support, schema=shot.model.schema)
    truth = truth_of(table, target)
    with console.spinner("Calibrating"):
        calibration = shot.calibrate(shot.embed(table), truth, threshold)
    before, after = calibration["calibration_error"].values()
    console.print(
        f"Calibrated on {counted(calibration['records'], 'record')} of {support}: temperature {shot.temperature:.2f};"
        f" expected calibration error {before:.3f} before, {after:.3f} after."
    )
    if threshold:
        console.print(
            f"None of the labels below a probability of {shot.none_below:.3f}, chosen with the"
            f" {counted(calibration['none'], 'record')} of other labels."
        )
    return calibration


def _classify_chunks(shot: ZeroShot, table: Table, top: int, advance: Any) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(table), CHUNK):
        records = table.take(np.arange(start, min(start + CHUNK, len(table))))
        rows = []
        for key, classified in zip(records.keys, shot.classify(records, top), strict=True):
            best = classified.pop("top")
            classified["top_labels"] = [choice["label"] for choice in best]
            classified["top_probabilities"] = [choice["probability"] for choice in best]
            rows.append({"key": key} | classified)
        advance(len(rows))
        yield rows


def _print_summary(summary: dict[str, Any], console: Console) -> None:
    if summary["out"] is None:
        console.print_table(_prediction_table(summary["predictions"][:MOST_SHOWN]))
        if summary["records"] > MOST_SHOWN:
            console.print(f"... and {summary['records'] - MOST_SHOWN:,} more; --out predictions.csv writes them all.")
    else:
        console.print(f"{counted(summary['records'], 'prediction')} in {summary['out']}.")
    if summary["set_aside"]:
        where = f"; {summary['bad_records']} says why" if summary["bad_records"] else ""
        console.print(f"{counted(summary['set_aside'], 'record')} set aside{where}.")


def _prediction_table(rows: list[dict[str, Any]]) -> Printed:
    printed = Printed("record", "label", "probability", "next")
    for row in rows:
        pairs = list(zip(row["top_labels"], row["top_probabilities"], strict=True))
        label = row["label"] or ("(absent)" if row["absent"] else "(none of these)")
        following = ", ".join(f"{label} {format_number(value)}" for label, value in pairs[row["label"] is not None :])
        printed.add_row(*(Text(cell) for cell in (row["key"], label, format_number(row["probability"]), following)))
    return printed
