"""What log.csv has, as scalars for TensorBoard."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sensorium.errors import needs
from sensorium.files import discard, writing

Row = dict[str, Any]


def check_tensorboard() -> None:
    """Raises UserError where the package is not installed."""
    if find_spec("tensorboard") is None:
        raise needs("tensorboard", "tensorboard")


@contextmanager
def tensorboard_log(run: Path, rows: list[Row]) -> Iterator[Callable[[Row], None]]:
    """A new log in the folder `run`/tensorboard that begins with `rows`; gives the function that adds a row, one scalar
    a column.

    What a stopped run wrote there is replaced by the rows of the state that it goes on from, so that no epoch stands
    in it twice. Raises UserError when the disk refuses.
    """
    check_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    folder = run / "tensorboard"
    with writing(folder):
        discard(folder)
        writer = SummaryWriter(str(folder))

    def add(row: Row) -> None:
        with writing(folder):
            for name, value in row.items():
                if name != "epoch":
                    writer.add_scalar(name, value, row["epoch"])
            writer.flush()

    try:
        for row in rows:
            add(row)
        yield add
    finally:
        writer.close()
