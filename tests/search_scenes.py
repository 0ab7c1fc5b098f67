"""What has to be so before the mistakes of search."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sensorium.indexing import Index
from sensorium.model import load
from tests.indexing import shop
from tests.reviews import put


def opened(change: Callable[[], object] = lambda: None) -> Callable[[object], None]:
    """The shop of tests/indexing/shop.py in the working folder, shop.lance, an index of its pictures, and a change."""

    def scene(_: object) -> None:
        shop.make(Path("."), 6)
        Index.build(load("runs/pairs"), "pictures", "shop.lance", run="runs/pairs")
        change()

    return scene


def folder(name: str, file: str) -> Callable[[], object]:
    """A folder with one file of some bytes."""
    return lambda: put(Path(name) / file, "no picture")


def numbered(path: str) -> None:
    """names.csv, and an index of it that counts its rows."""
    shop.write(Path("names.csv"), [{"text": name} for name in shop.NAMES])
    Index.build(load("runs/pairs"), "names.csv", path, run="runs/pairs")


def full(scene: Any) -> None:
    """The shop, and beside it a disk that is full to the last byte."""
    opened()(scene)
    scene.disk("full", "size=64k")
    with pytest.raises(OSError, match="No space left"), open("full/filler", "wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))


SCENES: dict[str, Callable[[object], None]] = {
    "The index is not there": opened(),
    "The folder is no index": opened(folder("photographs", "notes.txt")),
    "The index is there already": opened(),
    "The disk is full at indexing": full,
    "The index's name does not end as it should": opened(),
    "The folder to index holds nothing that the model reads": opened(folder("papers", "notes.txt")),
    "The table to index has several of the model's inputs": opened(
        lambda: shop.write(Path("both.csv"), [{"image": "pictures/01.png", "text": "a lamp"}])
    ),
    "Two records to index have the same key": opened(
        lambda: shop.write(Path("twice.csv"), [{"text": name, "sku": "W-1"} for name in shop.NAMES])
    ),
    "Records are added to an index that counts its rows": opened(lambda: numbered("names.lance")),
    "The index was made with another model": opened(),
    "The filter names an unknown column": opened(),
    "The filter is not SQL": opened(),
    "The query's file is not there": opened(),
    "The query is empty": opened(),
    "The query's input is not the model's": opened(),
    "Nothing is said of what to remove": opened(),
    "The model is no longer where it was": opened(lambda: Path("runs/pairs").rename("runs/moved")),
}
