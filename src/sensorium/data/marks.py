"""What records are known by: a mark of eight bytes, a hash of the contents of a record's inputs."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sensorium.data.media.content import content_id, read_content
from sensorium.data.schema import MEDIA, InputSpec
from sensorium.data.table import Table
from sensorium.errors import UserError

LEARNED = "learned.npy"  # beside a model, the marks of the records that it learned from


def marks(ids: dict[str, np.ndarray]) -> np.ndarray:
    """int64 [N], of the content ids by input, int64 [N]; 0 for a record without any input."""
    rows = np.stack([ids[name] for name in sorted(ids)], axis=1)  # [N, inputs]
    return np.array([content_id(row.tobytes()) if row.any() else 0 for row in rows], np.int64)


def save_marks(folder: Path, ids: dict[str, np.ndarray]) -> None:
    """Writes the marks of these records into the folder of the model that learned from them."""
    np.save(folder / LEARNED, np.unique(marks(ids)))


def count_learned(folder: Path, table: Table, inputs: Iterable[InputSpec]) -> int | None:
    """How many records of `table` have the inputs of one that the model in `folder` learned from; None where the model
    does not say. Raises UserError for a damaged file of marks."""
    path = folder / LEARNED
    if not path.exists():
        return None
    try:
        learned = np.load(path, allow_pickle=False).astype(np.int64, casting="safe")
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise UserError(f"{path} is damaged; bring a whole copy of the model, or remove this file.") from error
    ids = {spec.name: np.array([_content_id(table, row, spec) for row in range(len(table))]) for spec in inputs}
    return int(np.isin(marks(ids), learned[learned != 0]).sum())


def _content_id(table: Table, row: int, spec: InputSpec) -> int:
    """As `scan` has it: 0 where the input is absent or its file cannot be read."""
    value = table.value(row, spec)
    try:
        return 0 if value is None else content_id(read_content(value, table.root) if spec.modality in MEDIA else value)
    except ValueError:
        return 0
