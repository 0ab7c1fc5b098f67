"""How good answers are by the type of question, where the table has a column that says it."""

from sensorium.data.cells import absent
from sensorium.data.schema import TargetSpec
from sensorium.data.table import Table
from sensorium.evaluation.subgroups import Subgroups, subgroups
from sensorium.metrics import Columns, headline

COLUMN = "question_type"


def question_types(
    target: TargetSpec, table: Table, truth: Columns, prediction: Columns, seed: int
) -> Subgroups | None:
    """The largest types of at least ten questions of the records `table`, which have the target; None when it is no
    answer, or there are fewer than two types.
    """
    if target.kind != "answer" or COLUMN not in table.frame.columns:
        return None
    values = table.frame[COLUMN].to_numpy(dtype=object)
    member = [None if gone else str(one) for one, gone in zip(values, absent(values), strict=True)]
    metric = headline(target.kind, prediction)
    return subgroups(target.kind, truth, prediction, metric, COLUMN, member, table.groups, seed)
