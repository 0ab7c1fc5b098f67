"""What a run knows of answers before it trains: which there are, and which is usual to each question."""

import pandas as pd

from sensorium.config.schema import Recipe
from sensorium.data.schema import TargetSpec
from sensorium.data.table import Table
from sensorium.data.targets.answer_text import asked, commonest, encode_answers
from sensorium.tasks.splits import Split


def fit_answer_vocabulary(split: dict[str, Split], recipe: Recipe) -> dict[str, Split]:
    """The parts with, for each target that is an answer, what the records that are trained on say of it.

    Labels are their answers, those of a run that is gone on from first; `usual` is of the records that are not scored.
    """
    schema = split["known"].table.schema
    if all(spec.kind != "answer" for spec in schema.targets):
        return split
    unscored = split["known" if "test" in split else "train"].table
    targets = [_told(spec, split["known"].table, unscored, recipe) for spec in schema.targets]
    schema = schema.model_copy(update={"targets": targets})
    return {name: part._replace(table=part.table.under(schema)) for name, part in split.items()}


def _told(spec: TargetSpec, known: Table, unscored: Table, recipe: Recipe) -> TargetSpec:
    if spec.kind != "answer":
        return spec
    labels = spec.labels
    if recipe.start_from is None:
        labels = list(commonest(known.cells(spec.name, "answer")))
    return spec.model_copy(update={"labels": labels, "usual": spec.usual | _usual(spec.name, unscored, labels)})


def _usual(name: str, table: Table, labels: list[str]) -> dict[str, int]:
    """By the text that asks, the place of its commonest answer; of equally common ones, of the one commoner in all."""
    found = encode_answers(table.cells(name, "answer"), labels)
    row, column = (found["answers"] >= 0).nonzero()
    said = pd.DataFrame(
        {
            "text": pd.Series(asked(table), dtype=object).to_numpy()[row],
            "place": found["answers"][row, column],
            "weight": found["weight"][row, column],
        }
    )
    summed = said[said["text"] != ""].groupby(["text", "place"], as_index=False)["weight"].sum().round(6)
    first = summed.sort_values(["weight", "place"], ascending=[False, True]).drop_duplicates("text")
    return dict(zip(first["text"].tolist(), first["place"].tolist(), strict=True))
