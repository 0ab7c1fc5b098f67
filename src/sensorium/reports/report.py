"""report: a finished run → report.html in its folder."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from sensorium.config.load import read_run_recipe
from sensorium.config.schema import Recipe
from sensorium.console import Console
from sensorium.data.read import read
from sensorium.data.table import Table
from sensorium.errors import UserError
from sensorium.evaluation.comparison import Comparison
from sensorium.evaluation.costs import costs
from sensorium.evaluation.robustness import robustness, trials
from sensorium.evaluation.saved_scores import SavedScores
from sensorium.files import whole_file, writable
from sensorium.model import Model, load
from sensorium.nn.torch_state import usual_torch
from sensorium.reports import Evidence, comparison_page, run_card, run_page
from sensorium.tasks.previous_run import scored_records

PAGE, MEASURED, CARD = "report.html", "measured.json", "card.md"
REPORTED = {"targets", "retrieval", "comparison"}  # keys of a metrics.json that a report is made of
_DAMAGE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, StopIteration)
WITHOUT_TABLE = "Samples, subgroups, curves and measured costs, which need the records."
WITHOUT_CURVES = "What happens when an input is spoiled; sensorium report without --no-robustness measures it."


class HasFolder(Protocol):
    """A finished run in Python."""

    folder: Path


@usual_torch()
def report(
    run: str | Path | HasFolder, table: str | Path | None = None, robust: bool = True, card: bool = False
) -> Path:
    """Writes report.html into the folder of a fit, a pretraining, an evaluation or a comparison; gives its path.

    run: the folder, or the Run of a fit or a pretraining. table: where the run's records are now, when they are
    not where its recipe says. robust: also spoil each input, more and more, and measure what that does to the
    decisions, which takes a while. What is measured also goes to measured.json. card: of a fit, a pretraining or an
    evaluation also write card.md, a model card of the same facts. Raises UserError."""
    folder = writable(getattr(run, "folder", run))
    figures = _read_metrics(folder)
    if "comparison" in figures:
        if card:
            raise UserError(f"{folder} is a comparison, which has no one model; ask for the card of a fit's folder.")
        with _whole(folder):
            return write_comparison_report(folder, Comparison.load(folder))
    with _whole(folder):
        evidence = _read_evidence(folder, figures)
        run_page(evidence)  # a damaged file is told before anything is measured
    evidence = _measure(evidence, folder, table, robust)
    if evidence.costs is not None:
        measured: dict[str, Any] = {"cost": evidence.costs.to_dict()}
        if evidence.curves is not None:
            measured["robustness"] = [curve.to_dict() for curve in evidence.curves]
        _write(folder / MEASURED, json.dumps(measured, indent=1, ensure_ascii=False))
    with _whole(folder):
        if card:
            _write(folder / CARD, run_card(evidence))
        return _write(folder / PAGE, run_page(evidence))


@contextmanager
def _whole(folder: Path) -> Iterator[None]:
    """Turns what edited or damaged files of a run lead to into a sentence. Raises UserError."""
    try:
        yield
    except (*_DAMAGE, pa.ArrowException) as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())
        raise UserError(
            f"The files in {folder} are damaged or do not fit together ({reason[:200]}): metrics.json, scores.parquet,"
            " log.csv, recipe.yaml; bring a whole copy of the folder, or score the model again."
        ) from error


def write_report_without_measurements(folder: Path, records: Table) -> None:
    """Writes the report at a run's end, without what has to be measured. records: those that were scored."""
    sentence = f"What happens when an input is spoiled, and all that it costs; sensorium report {folder} measures it."
    evidence = _read_evidence(folder, _read_metrics(folder))
    evidence = replace(evidence, schema=records.schema, records=records, left_out=[sentence])
    _write(folder / PAGE, run_page(evidence))


def write_comparison_report(folder: Path, comparison: Comparison) -> Path:
    """Writes the report of a comparison into its folder."""
    return _write(folder / PAGE, comparison_page(folder.resolve().name, comparison))


def _write(path: Path, text: str) -> Path:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _read_metrics(folder: Path) -> dict[str, Any]:
    path = folder / "metrics.json"
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}; give that of a run, an evaluation or a comparison.")
    if not path.exists():
        raise UserError(f"{folder} has no metrics.json, so there is nothing to report; has the run finished?")
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); bring a whole copy, or score the model again.") from error
    if not isinstance(figures, dict) or not REPORTED & figures.keys():
        raise UserError(
            f"{path} holds no targets, no retrieval and no comparison; a report is made of a fit, a pretraining, an"
            " evaluation of these, or a comparison."
        )
    return figures


def _read_scores(folder: Path) -> pa.Table:
    path = folder / "scores.parquet"
    try:
        return pa.parquet.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(
            f"{path} cannot be read; bring a whole copy of the folder, or score the model again."
        ) from error


def _read_evidence(folder: Path, figures: dict[str, Any]) -> Evidence:
    """What is in the folder, except for the model."""
    scores, recipe, log = _read_scores(folder), read_run_recipe(folder), folder / "log.csv"
    return Evidence(
        name=folder.resolve().name,
        folder=folder.as_posix(),
        date=f"{datetime.fromtimestamp((folder / 'metrics.json').stat().st_mtime):%Y-%m-%d %H:%M}",
        figures=figures,
        scores=SavedScores.of(scores, figures) if "targets" in figures else None,
        ranks=scores.to_pandas() if "retrieval" in figures else None,
        recipe=None if recipe is None else recipe.model_dump(mode="json"),
        log=pd.read_csv(log) if log.exists() else None,
    )


def _measure(evidence: Evidence, folder: Path, table: str | Path | None, robust: bool) -> Evidence:
    """The evidence with what only the model and the scored records can tell, as far as the folder has a model."""
    if not (folder / "model" / "model.json").exists():
        return evidence
    model, recipe = load(folder), read_run_recipe(folder)
    try:
        records = _scored_records(folder, model, recipe, table)
    except UserError as error:
        if table is not None:
            raise
        return replace(evidence, schema=model.schema, left_out=[f"{WITHOUT_TABLE} {error}"])
    evidence = replace(evidence, schema=model.schema, records=records, costs=costs(model, records))
    if "targets" not in evidence.figures:
        return evidence
    if not robust:
        return replace(evidence, left_out=[WITHOUT_CURVES])
    with _whole(folder):
        metric_of = {name: contributions["metric"] for name, contributions in evidence.figures["inputs"].items()}
    with Console().progress("Spoiling inputs", trials(model, records)) as advance:
        curves = robustness(model, records, metric_of, 0 if recipe is None else recipe.seed, advance)
    return replace(evidence, curves=curves)


def _scored_records(folder: Path, model: Model, recipe: Recipe | None, table: str | Path | None) -> Table:
    """The records that were scored, in the order of the scores. Raises UserError when they are not found."""
    path = table or (None if recipe is None else recipe.data.path)
    if path is None:
        raise UserError(f"The records of {folder} were given in Python; save them and name their file with --table.")
    everything = read(path, schema=model.schema)
    records = scored_records(everything, _read_scores(folder))
    if records is None:
        raise UserError(
            f"{everything.source} is not the table that {folder} was scored on, or has changed since; name that"
            " with --table."
        )
    return records
