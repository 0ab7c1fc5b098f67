"""What every report does: it is saved for machines, and printed as text."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as parquet
from rich.console import RenderableType
from rich.text import Text

from sensorium.console import PlainConsole
from sensorium.data.scan import write_bad_records
from sensorium.errors import RecordError, counted
from sensorium.files import whole_file

WIDTH = 110


def save(folder: str | Path, figures: dict[str, Any], samples: pa.Table) -> None:
    """Writes metrics.json and scores.parquet into `folder`, each whole or not at all. Raises UserError."""
    with whole_file(Path(folder) / "scores.parquet") as temporary:
        parquet.write_table(samples, temporary)
    with whole_file(Path(folder) / "metrics.json") as temporary:
        temporary.write_text(json.dumps(figures, indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8")


class Saves(Protocol):
    """A report that writes itself into a folder."""

    def save(self, folder: str | Path) -> None:
        """Writes metrics.json and scores.parquet. Raises UserError."""


def save_evaluation(report: Saves, bad: list[RecordError], out: str | Path | None) -> None:
    """Saves a report into the folder `out`, with the `bad` records in bad_records.csv; nothing without a folder."""
    if out is not None:
        report.save(out)
        if bad:
            write_bad_records(bad, Path(out) / "bad_records.csv")


def count_of_learned(learned: int | None) -> dict[str, int]:
    """The entry `learned` of a report's records: how many the model learned from; empty where nobody knows."""
    return {} if learned is None else {"learned": learned}


def learned_text(learned: int | None, records: int) -> Iterator[Text]:
    """A line that warns of the records that the model learned from, if there are any."""
    if learned:
        yield Text(
            f"! {learned:,} of {counted(records, 'record')} ({learned / records:.0%}) have the inputs of records in the"
            " training; scores on them say nothing about new records."
        )


def text(what: RenderableType) -> str:
    """What `what` looks like on a page of 110 columns."""
    console = PlainConsole(file=io.StringIO(), width=WIDTH, force_jupyter=False)
    console.print(what)
    return console.file.getvalue()
