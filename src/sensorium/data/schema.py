"""What the columns of a table are, and which inputs and targets they make."""

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field
from rich.table import Table as Printed
from rich.text import Text

from sensorium.data.columns.parse import modalities_of
from sensorium.data.columns.reading import Reading

Kind = Literal[
    "text",
    "image",
    "audio",
    "video",
    "film",
    "series",
    "points",
    "number",
    "date",
    "category",
    "group",
    "key",
    "ignored",
    "target",
]
Modality = Literal["text", "image", "audio", "video", "series", "points", "table"]

STATED_KINDS = tuple(kind for kind in get_args(Kind) if kind != "target")
MEDIA = ("image", "audio", "video", "series", "points")
MOST_INPUTS = 6  # Shapley values are computed for up to six inputs, so more number and category columns are read as one


class Column(BaseModel):
    """A column: its kind, in plain words why, the share of the training rows that lack it, in [0, 1], and how its cells
    are read; no `reading` (of old models) reads them as they are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Kind
    reason: str
    absent: float = 0.0
    reading: Reading | None = None


class InputSpec(BaseModel):
    """An input of the model: a text or media column, a part of such a column, or columns of numbers, dates and
    categories (`table`).

    `part`: "sound" is the sound track of a column of films; None is all of the column.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    modality: Modality
    columns: list[str]
    part: Literal["sound"] | None = None

    @property
    def decoder(self) -> str:
        """Which of the decoders reads its values: the modality's, or that of a part."""
        return "film sound" if self.part == "sound" else self.modality


class TargetSpec(BaseModel):
    """A target column: its kind, one of data.targets.TARGETS, and its labels in order, [] for a kind without labels; of
    answers the commonest first.

    usual: of an answer, by the text that asks, the position in `labels` of the commonest answer of training records.
    commonest: of a text, the one that most training records have. normalise: of a text, what is done to it before it is
    compared, one of metrics.kinds.text.NORMALISERS.
    picture: of boxes, the input that they are in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: str
    labels: list[str] = []
    usual: dict[str, int] = {}
    commonest: str | None = None
    normalise: str = Field("none", exclude_if="none".__eq__)
    picture: str | None = Field(None, exclude_if=lambda name: name is None)


class Schema(BaseModel):
    """What a table's columns are; saved with the model and enforced at prediction.

    `group` and `key` name columns, or are None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: list[Column]
    inputs: list[InputSpec]
    targets: list[TargetSpec] = []
    group: str | None = None
    key: str | None = None

    def column(self, name: str) -> Column | None:
        """The column `name`, or None."""
        return next((column for column in self.columns if column.name == name), None)

    def ignoring(self, name: str, reason: str) -> "Schema":
        """The same schema with the column `name` ignored, for the plain `reason`; its inputs are derived again."""
        columns = [
            Column(name=name, kind="ignored", reason=reason, absent=column.absent) if column.name == name else column
            for column in self.columns
        ]
        return self.model_copy(update={"columns": columns, "inputs": make_inputs(columns)})

    def inputs_of(self, modality: Modality) -> list[str]:
        """The names of the inputs of one modality."""
        return [spec.name for spec in self.inputs if spec.modality == modality]

    def describe(self, examples: dict[str, str] | None = None) -> Printed:
        """A Rich table, one line a column: kind, reason, percent absent and, when given by column name, an example."""
        printed = Printed("column", "kind", "why", "absent", title="What the columns are", title_justify="left")
        if examples is not None:
            printed.add_column("example")
        for column in self.columns:
            cells = [column.name, self._kind(column), column.reason, f"{column.absent:.1%}"]
            printed.add_row(*map(Text, cells), *([Text(examples.get(column.name, ""))] if examples is not None else []))
        printed.caption, printed.caption_justify = Text(self._summary()), "left"
        return printed

    def _kind(self, column: Column) -> str:
        return next((f"target ({target.kind})" for target in self.targets if target.name == column.name), column.kind)

    def _summary(self) -> str:
        lines = ["Inputs: " + ", ".join(f"{spec.name} ({spec.modality})" for spec in self.inputs) + "."]
        for spec in self.inputs:
            if len(spec.columns) > 1:
                lines.append(
                    f"With more than {MOST_INPUTS} inputs in all, the {len(spec.columns)} columns of numbers, dates and"
                    f" categories are read together as the input '{spec.name}'."
                )
        return "\n".join(lines)


def make_inputs(columns: list[Column]) -> list[InputSpec]:
    """The inputs that `columns` make, in the order of the table.

    Text and media columns are an input each; a column of films is two, `clip` its pictures and `clip sound` its sound.
    Number, date and category columns are an input each while all inputs are at most six; beyond that they make one
    input named `table`. Where a column has such a name already it is `table 2`, `clip sound 2`, ...
    """
    names = {column.name for column in columns}
    inputs = [spec for column in columns for spec in _inputs(column, names)]
    cells = [spec for spec in inputs if spec.modality == "table"]
    if len(inputs) <= MOST_INPUTS or len(cells) < 2:
        return inputs
    texts_and_media = [spec for spec in inputs if spec.modality != "table"]
    joined = InputSpec(name=_unused_name("table", names), modality="table", columns=[spec.name for spec in cells])
    return [*texts_and_media, joined]


def _inputs(column: Column, names: set[str]) -> list[InputSpec]:
    """The inputs that one column makes by itself; the name of a part differs from the `names` of all columns."""
    return [
        InputSpec(
            name=column.name if part is None else _unused_name(f"{column.name} {part}", names),
            modality=modality,
            columns=[column.name],
            part=part,
        )
        for part, modality in modalities_of(column.kind).items()
    ]


def _unused_name(name: str, names: set[str]) -> str:
    """`name`, followed by the smallest number from 2 on with which it is not among `names`, where it is one of them."""
    candidates = (name, *(f"{name} {number}" for number in range(2, len(names) + 3)))
    return next(candidate for candidate in candidates if candidate not in names)
