"""A column of labels that is no target of the model's: what is true, to compare with."""

from sensorium.data.columns.parse import is_missing, to_label
from sensorium.data.table import Table
from sensorium.errors import UserError


def truth_of(table: Table, target: str | None) -> list[str | None]:
    """The label of each record in the column `target`, None where it is empty.

    Raises UserError when no column is named, or the table lacks it, or no record has a label.
    """
    columns = ", ".join(map(str, table.frame.columns))
    if target is None:
        raise UserError(f"Say which column of {table.source} has the labels, with --target; it has {columns}.")
    if target not in table.frame.columns:
        raise UserError(f"{table.source} has no column '{target}' to compare with; it has {columns}.")
    values = table.frame[target].to_numpy(dtype=object)
    missing = is_missing(values)
    try:
        labels = [None if lacks else to_label(value).strip() for value, lacks in zip(values, missing, strict=True)]
    except ValueError as error:
        raise UserError(f"The column '{target}' of {table.source} has no plain labels: {error}.") from error
    if not any(labels):
        raise UserError(f"The column '{target}' of {table.source} is empty; fill in what is true.")
    return labels
