"""What has to be so before the mistakes of pretraining."""

from collections.abc import Callable

from tests.reviews import rows, sensorium, write


def _pretrained(scene: object) -> None:
    small = "--encoder photo=clip_image,size=8,patch=4,width=8,depth=1,heads=1"
    small += " --encoder review=clip_text,width=8,depth=1,heads=1"
    said = sensorium(f"pretrain clip reviews.csv --image photo --text review --out runs/pairs --epochs 1 {small}")
    assert said.code == 0, said.err


def _fused(scene: object) -> None:
    small = "--encoder photo=clip_image,size=8,patch=4,width=8,depth=1,heads=1"
    small += " --encoder review=bert_text,width=8,depth=1,heads=1"
    said = sensorium(f"pretrain albef reviews.csv --image photo --text review --out runs/albef --epochs 1 {small}")
    assert said.code == 0, said.err


def _without(name: str) -> Callable[[object], None]:
    """The table without what the column `name` has."""
    return lambda scene: write("reviews.csv", [row | {name: ""} for row in rows(24)])


def _apart(scene: object) -> None:
    """A photo or a review, never both."""
    write("reviews.csv", [row | {("photo", "review")[index % 2]: ""} for index, row in enumerate(rows(24))])


SCENES: dict[str, Callable[[object], None]] = {
    "A column to align is empty in every row": _without("review"),
    "No record has both of the columns to align": _apart,
    "A pretrained model has no input of that kind": _pretrained,
    "A pretrained model is to get another size": _pretrained,
    "A pretrained model is asked for decisions": _pretrained,
    "A recipe of pretraining is fitted": _pretrained,
    "ALBEF begins with a model that is none": _pretrained,
    "A model without a matching head is to rank anew": _pretrained,
    "One item is to be ranked anew": _fused,
}
