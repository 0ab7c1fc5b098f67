"""The verb that shows a fit on real records: demo."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/demo"),
    data: Annotated[Path, typer.Option(help="Folder the records are made in.")] = Path("runs/demo-data"),
) -> None:
    """Make a table of emoji (picture, name, spoken name) from installed packages; learn category and sentiment from it.

    Needs the extra: pip install 'sensorium\\[demo]'. Example: [bold]sensorium demo[/bold]
    """
    from sensorium.runs.demo import demo as run_demo

    run_demo(out, data)
