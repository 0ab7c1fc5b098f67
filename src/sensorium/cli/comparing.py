"""Verbs that compare: compare."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from sensorium.cli.options import Json, pairs


def compare(
    table: Annotated[
        Path | None, typer.Argument(help="A table, or any other source of records that fit takes; --resume needs none.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Column to learn; NAME=class|labels|number to state its kind.")
    ] = None,
    fusion: Annotated[
        str, typer.Option(help="Ways of fusing, as hybrid,gated, or all; the first is also tried without each input.")
    ] = "all",
    folds: Annotated[int, typer.Option(help="Parts of the table, each scored by models that have not seen it.")] = 5,
    seeds: Annotated[int, typer.Option(help="Trainings of each candidate on each fold.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the comparison.")] = Path("runs/compare"),
    group: Annotated[
        str | None, typer.Option(help="Column whose records share a source (speaker, patient) and stay in one fold.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Column that names a record.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="NAME=KIND where the guess is not what is meant, as for fit.")
    ] = None,
    encoder: Annotated[list[str] | None, typer.Option(help="INPUT=NAME:MODEL,setting=value, as for fit.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that train side by side, on a thread each; 0 for none.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Number that every random choice follows from.")] = None,
    bad_records: Annotated[
        str | None,
        typer.Option(help="A file that cannot be read: 'stop' (as usual), or 'skip' to set the record aside."),
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE for any other setting of docs/recipes.md.")
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="YAML file with the settings; options lie over it.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the stopped comparison in --out.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the comparison in --out.")] = False,
    as_json: Json = False,
) -> None:
    """Train every way of fusing on the same folds and say which to take, and whether the difference is real.

    Encoders are trained once and shared: only the fusing differs. It also says whether an input is better left out.

    Example: [bold]sensorium compare reviews.csv --target sentiment --group author --fusion hybrid,gated[/bold]
    """
    from sensorium.recipe.comparing import compare as run
    from sensorium.recipe.options import value_of

    options: dict[str, Any] = {
        "target": target, "group": group, "key": key, "columns": pairs(column, "--column"), "seed": seed,
        "encoders": pairs(encoder, "--encoder"), "bad_records": bad_records,
    }  # fmt: skip
    options |= {name: value_of(value, f"--set {name}") for name, value in (pairs(setting, "--set") or {}).items()}
    workers = (os.cpu_count() or 1) if workers is None else workers
    how = {"fusion": fusion, "seeds": seeds, "folds": folds, "workers": workers, "recipe": recipe}
    try:
        found = run(table, out, **how, resume=resume, overwrite=overwrite, quiet=as_json, **options)
    except KeyboardInterrupt as error:
        raise typer.Abort("Stopped. A comparison goes on where it stood with the same command and --resume.") from error
    if as_json:
        print(json.dumps({"out": str(out)} | found.to_dict()))
