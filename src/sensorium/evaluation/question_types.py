"""How good answers are by the type of question and of answer, where the table has columns that say it."""

from sensorium.data.columns.parse import is_missing
from sensorium.data.schema import TargetSpec
from sensorium.data.table import Table
from sensorium.evaluation.subgroups import Subgroups, subgroups
from sensorium.metrics import Columns, headline

COLUMNS = ("question_type", "answer_type")  # as the files of VQA v2 name them


def question_types(
    target: TargetSpec, table: Table, truth: Columns, prediction: Columns, seed: int
) -> dict[str, Subgroups]:
    """By column of COLUMNS, the types of at least ten questions of the records `table`, which have the target; no
    column that the table lacks or that has fewer than two such types.
    """
    by_column = {}
    for column in COLUMNS:
        if column in table.frame.columns:
            values = table.frame[column].to_numpy(dtype=object)
            member = [
                None if missing else str(value) for value, missing in zip(values, is_missing(values), strict=True)
            ]
            metric = headline(target.kind, prediction)
            arguments = (target.kind, truth, prediction, metric, column, member, table.groups, seed)
            by_column[column] = subgroups(*arguments, most=len(member))
    return {column: types for column, types in by_column.items() if types is not None}
