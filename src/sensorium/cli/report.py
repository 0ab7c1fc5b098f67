"""Verbs that report: report."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="The folder of a fit, a pretraining, an evaluation or a comparison.")],
    table: Annotated[
        Path | None, typer.Option(help="Where the run's table is now, when it is not where the recipe says.")
    ] = None,
    no_robustness: Annotated[
        bool, typer.Option("--no-robustness", help="Leave out what takes long: each input spoiled, more and more.")
    ] = False,
    card: Annotated[
        bool, typer.Option("--card", help="Also write card.md: a model card, as the Hugging Face Hub has it.")
    ] = False,
) -> None:
    """Write report.html into the folder of a run: one file that opens in any browser, on a phone too, without network.

    It has the metrics with their intervals, what each input is worth, what happens when one is spoiled or missing,
    subgroups, costs, and the surest errors with picture, text and sound.

    Example: [bold]sensorium report runs/reviews[/bold]
    """
    from sensorium.reports.report import report as run_report

    path = run_report(run, table, robust=not no_robustness, card=card)
    if card:
        print(path.with_name("card.md"))
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB): open it in a browser.")
