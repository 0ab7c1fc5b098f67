"""report: a finished run → report.html in its folder."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from sensorium.config.load import check_recipe, read_recipe
from sensorium.config.schema import Recipe
from sensorium.console import Console
from sensorium.data.read import read
from sensorium.data.table import Table
from sensorium.errors import UserError
from sensorium.evaluation.comparison import Comparison
from sensorium.evaluation.costs import costs
from sensorium.evaluation.robustness import Curve, robustness, trials
from sensorium.evaluation.saved_scores import SavedScores
from sensorium.files import whole_file
from sensorium.model import Model, load
from sensorium.reports import Evidence, comparison_page, run_page
from sensorium.tasks.previous_run import same_truths

PAGE, MEASURED = "report.html", "measured.json"


def report(run: str | Path, table: str | Path | None = None, robust: bool = True) -> Path:
    """Writes report.html into the folder `run` of a fit, a pretraining, an evaluation or a comparison; gives its path.

    table: where the run's records are now, when they are not where its recipe says. robust: also spoil each input,
    more and more, and see what the model makes of it, which takes a while. What is measured also goes to
    measured.json. Raises UserError.
    """
    folder = Path(run)
    figures = _figures(folder)
    name = folder.resolve().name
    if "comparison" in figures:
        return _write(folder, comparison_page(name, Comparison.load(folder)))
    evidence = _evidence(folder, name, figures, table, robust)
    _keep(folder, evidence)
    return _write(folder, run_page(evidence))


def write_report_without_measurements(folder: Path, held: Table) -> None:
    """Writes the report at a run's end, without what has to be measured. held: the records that were scored."""
    kept = _kept(folder, folder.resolve().name, _figures(folder))
    said = f"What happens when an input is spoiled, and all that it costs; sensorium report {folder} measures it."
    _write(folder, run_page(replace(kept, schema=held.schema, held=held, left_out=[said])))


def write_comparison_report(folder: Path, found: Comparison) -> None:
    """Writes the report at a comparison's end."""
    _write(folder, comparison_page(folder.resolve().name, found))


def _keep(folder: Path, evidence: Evidence) -> None:
    """Leaves what was measured for the report to machines, beside it."""
    if evidence.costs is not None:
        measured: dict[str, Any] = {"cost": evidence.costs.to_dict()}
        if evidence.curves is not None:
            measured["robustness"] = [curve.to_dict() for curve in evidence.curves]
        with whole_file(folder / MEASURED) as temporary:
            temporary.write_text(json.dumps(measured, indent=1, ensure_ascii=False), encoding="utf-8")


def _write(folder: Path, text: str) -> Path:
    with whole_file(folder / PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return folder / PAGE


def _figures(folder: Path) -> dict[str, Any]:
    path = folder / "metrics.json"
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}; give that of a run, an evaluation or a comparison.")
    if not path.exists():
        raise UserError(f"{folder} has no metrics.json, so there is nothing to report; has the run finished?")
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); bring a whole copy, or score the model again.") from error
    if not isinstance(figures, dict) or not {"targets", "retrieval", "comparison"} & figures.keys():
        raise UserError(
            f"{path} holds no targets, no retrieval and no comparison; a report is made of a fit, a pretraining, an"
            " evaluation of these, or a comparison."
        )
    return figures


def _evidence(folder: Path, name: str, figures: dict[str, Any], table: str | Path | None, robust: bool) -> Evidence:
    """All that the folder tells, and what is measured now."""
    known = _kept(folder, name, figures)
    if not (folder / "model" / "model.json").exists():
        return known
    model, left_out = load(folder), []
    recipe = read_run(folder)
    held = _held(folder, model, _saved(folder), recipe, table, left_out)
    known = replace(known, schema=model.schema, held=held, left_out=left_out)
    if held is None:
        return known
    return replace(known, costs=costs(model, held), curves=_curves(model, held, figures, recipe, robust, left_out))


def _kept(folder: Path, name: str, figures: dict[str, Any]) -> Evidence:
    """What stands in the folder, but for the model."""
    saved, recipe, log = _saved(folder), read_run(folder), folder / "log.csv"
    return Evidence(
        name=name,
        figures=figures,
        scores=SavedScores.of(saved, figures) if "targets" in figures else None,
        ranks=saved.to_pandas() if "retrieval" in figures else None,
        recipe=None if recipe is None else recipe.model_dump(mode="json"),
        log=pd.read_csv(log) if log.exists() else None,
    )


def read_run(folder: Path) -> Recipe | None:
    """The recipe of the run in `folder`, None when there is none."""
    path = folder / "recipe.yaml"
    return check_recipe(read_recipe(path), f"the recipe {path}") if path.exists() else None


def _curves(
    model: Model, held: Table, figures: dict[str, Any], recipe: Recipe | None, robust: bool, left_out: list[str]
) -> list[Curve] | None:
    """What spoiling the inputs does; None, and a sentence, when that is not asked for."""
    if "targets" not in figures:
        return None
    if not robust:
        left_out.append("What happens when an input is spoiled; sensorium report without --no-robustness measures it.")
        return None
    metric_of = {name: known["metric"] for name, known in figures["inputs"].items()}
    with Console().progress("Spoiling inputs", trials(model, held)) as advance:
        return robustness(model, held, metric_of, 0 if recipe is None else recipe.seed, advance)


def _saved(folder: Path) -> pa.Table:
    path = folder / "scores.parquet"
    try:
        return pa.parquet.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(
            f"{path} cannot be read; bring a whole copy of the folder, or score the model again."
        ) from error


def _held(
    folder: Path, model: Model, saved: pa.Table, recipe: Recipe | None, table: str | Path | None, left_out: list[str]
) -> Table | None:
    """The records that were scored, in the order of the scores.

    None, and a sentence in `left_out`, when they are not found where the recipe says. Raises UserError when they are
    not in the `table` that is named.
    """
    path = table or (None if recipe is None else recipe.data.path)
    try:
        if path is None:
            raise UserError(
                f"The records of {folder} were given in Python; save them and name their file with --table."
            )
        return _same(read(path, schema=model.schema), saved, folder)
    except UserError as error:
        if table is not None:
            raise
        left_out.append(f"Samples, subgroups, curves and measured costs, which need the records. {error}")
        return None


def _same(table: Table, saved: pa.Table, folder: Path) -> Table:
    if "coalition" in saved.column_names:
        saved = saved.filter(pa.compute.equal(saved["coalition"], "all"))
    scored = saved["key"].to_pylist()
    held = table.take(np.isin(np.array(table.keys), np.array(scored)))
    same = held.keys == scored and same_truths(held, saved) if "coalition" in saved.column_names else len(held) > 0
    if not same:
        raise UserError(
            f"{table.source} is not the table that {folder} was scored on, or has changed since; name that"
            " with --table."
        )
    return held
