"""What has to be so before the mistakes of retrieval, zero-shot and few-shot."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from sensorium.model import Model
from tests.evaluation import pairs
from tests.reviews import put


@cache
def untaught() -> Model:
    return pairs.model(steps=0)


def aligned(*change: Callable[[], object]) -> Callable[[object], None]:
    """A model of aligned inputs in runs/pairs, its table and pictures in shop/, then changed."""

    def scene(_: object) -> None:
        pairs.make(Path("shop"))
        untaught().save("runs/pairs")
        for one in change:
            one()

    return scene


SCENES: dict[str, Callable[[object], None]] = {
    "An option belongs to another task": aligned(),
    "No record has both of the inputs": aligned(
        lambda: put("half.csv", "photo,caption\nshop/pictures/00.png,\n,red\n")
    ),
    "There is one label": aligned(),
    "The file of labels is empty": aligned(lambda: put("labels.txt", "\n")),
    "A label is given twice": aligned(),
    "A template has no place for the label": aligned(lambda: put("own.txt", "a photo of a {}.\na drawing\n")),
    "A set of templates is misspelt": aligned(),
    "The folder has no pictures": aligned(lambda: put("notes/one.txt", "red")),
    "The table has no column of the input": aligned(lambda: put("other.csv", "caption\nred\n")),
    "The column to compare with is not there": aligned(),
    "No record has one of the labels": aligned(),
    "A threshold is to be chosen on nothing": aligned(),
    "There are more shots than records": aligned(),
}
