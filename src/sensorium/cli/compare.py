"""The verb that compares ways of fusing: compare."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from sensorium.cli.options import COLUMNS, FOLDER, TRAINING, Json, takes


@takes(COLUMNS, TRAINING, FOLDER)
def compare(
    table: Annotated[
        Path | None, typer.Argument(help="A table, or any other source of records that fit takes; --resume needs none.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Column to learn; NAME=class|labels|number|answer to state its kind.")
    ] = None,
    fusion: Annotated[
        str, typer.Option(help="Ways of fusing, as hybrid,gated, or all; one of them also without each input.")
    ] = "all",
    folds: Annotated[int, typer.Option(help="Parts of the table, each scored by models that have not seen it.")] = 5,
    seeds: Annotated[int, typer.Option(help="Trainings of each candidate on each fold.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the comparison.")] = Path("runs/compare"),
    workers: Annotated[
        int | None, typer.Option(help="Processes that train side by side, on a thread each; 0 for none.")
    ] = None,
    as_json: Json = False,
    **options: Any,
) -> None:
    """Train every way of fusing on the same folds and say which to take, and whether the difference is real.

    Encoders are trained once and shared: only the fusing differs. It also says whether an input is better left out.

    Example: [bold]sensorium compare reviews.csv --target sentiment --group author --fusion hybrid,gated[/bold]
    """
    from sensorium.comparison.compare import compare as run_comparison

    workers = (os.cpu_count() or 1) if workers is None else workers
    try:
        comparison = run_comparison(
            table, out, target=target, fusion=fusion, folds=folds, seeds=seeds, workers=workers, quiet=as_json,
            **options,
        )  # fmt: skip
    except KeyboardInterrupt as error:
        raise typer.Abort("Stopped. A comparison goes on where it stood with the same command and --resume.") from error
    if as_json:
        print(json.dumps({"out": str(out)} | comparison.to_dict()))
