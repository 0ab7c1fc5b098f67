"""What has to be so before the mistakes that docs/mistakes.md lists of folders, shards and packing."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.reviews import put, rows

PICTURE = Path("photos/1.png")


def shard(name: str = "000000", **members: bytes | str) -> None:
    """shards/NAME.tar with four records, a picture and a JSON each, and with `members`, a dot for each `_`."""
    files: dict[str, bytes | str] = {}
    for index, row in enumerate(rows(4)):
        files |= {f"{index}.photo.png": PICTURE.read_bytes(), f"{index}.json": json.dumps(row | {"photo": None})}
    files |= {key[1:].replace("_", "."): value for key, value in members.items()}
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for key, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(key)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    put(f"shards/{name}.tar", file.getvalue())


def cut() -> None:
    """A shard without its last third."""
    shard()
    whole = Path("shards/000000.tar").read_bytes()
    put("shards/000000.tar", whole[: tarfile.BLOCKSIZE * 9 + 100])


def joined() -> None:
    """Two shards as one file, as `cat` makes it."""
    shard()
    put("shards/000000.tar", Path("shards/000000.tar").read_bytes() * 2)


def classes(*files: str) -> None:
    """Class folders with these pictures."""
    for file in files:
        put(f"pictures/{file}", PICTURE.read_bytes())


def empty() -> None:
    """A class folder without files."""
    classes("cat/1.png", "dog/1.png")
    Path("pictures/bird").mkdir()


def scene(make: Callable[..., None], *arguments: Any, **named: Any) -> Callable[[Any], None]:
    return lambda _: make(*arguments, **named)


SCENES: dict[str, Callable[[Any], None]] = {
    "A class folder is empty": scene(empty),
    "Class folders hold files of several kinds": scene(classes, "cat/1.png", "cat/2.png", "dog/1.wav"),
    "Pictures lie beside the class folders": scene(classes, "cat/1.png", "dog/1.png", "5.png"),
    "One of the numbered shards is not there": scene(shard),
    "A shard is compressed": lambda _: put("shards/000000.tar", b"\x1f\x8b\x08\x00packed"),
    "A shard is cut short": scene(cut),
    "Two shards were joined": scene(joined),
    "A record of a shard has two pictures and no names for them": scene(shard, _1_png=b"one", _1_jpg=b"two"),
    "A file of a shard is no JSON": scene(shard, _9_json="{'price': 3}"),
    "There are shards in the folder already": scene(shard),
    "A folder of Datasets is not whole": lambda _: [
        put(f"saved/{one}.json", "{}") for one in ("state", "dataset_info")
    ],
    "A file is not there when the table is packed": lambda _: Path("photos/2.png").unlink(),
}
