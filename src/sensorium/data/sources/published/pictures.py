"""A folder of images, looked up by a file's name or by the number that the name ends in."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from sensorium.data.media.extensions import ENDINGS
from sensorium.errors import UserError

_NUMBER = re.compile(r"(\d+)$")


class ImageFolder:
    """Every image in `folder`, however deep. The folder is listed once, however many images are looked up. Raises
    UserError when there is no such folder, or no image in it."""

    def __init__(self, folder: Path):
        if not folder.is_dir():
            raise UserError(f"There is no folder {folder}; give the folder of the pictures with --images.")
        self.folder = folder
        self.paths = [
            os.path.join(directory, file)
            for directory, _, files in os.walk(folder)
            for file in files
            if os.path.splitext(file)[1][1:].lower() in ENDINGS["image"] and not file.startswith(".")
        ]
        if not self.paths:
            endings = ", ".join(ENDINGS["image"])
            raise UserError(f"There are no pictures in {folder}; a picture's name ends in {endings}.")

    def find(self, names: list[str] | list[int]) -> list[str | None]:
        """The path of each image by name or number; None where the folder lacks it. Raises UserError for one twice."""
        by_name = not names or isinstance(names[0], str)
        paths, duplicates = self._index_paths(os.path.basename if by_name else _trailing_number)
        for name in names if duplicates else ():
            if name in duplicates:
                raise UserError(
                    f"The picture {format_name(name)} is more than once in {self.folder}, as {paths[name]} and"
                    f" {duplicates[name]}; give the folder of one part of the data set."
                )
        return [paths.get(name) for name in names]

    def _index_paths(self, name_of: Callable[[str], str | int | None]) -> tuple[dict, dict]:
        """The first path of each name, and of the names that several paths have the last path."""
        paths: dict[str | int | None, str] = {}
        duplicates: dict[str | int | None, str] = {}
        for path in self.paths:
            name = name_of(path)
            if paths.setdefault(name, path) is not path:
                duplicates[name] = path
        return paths, duplicates


def format_name(name: str | int) -> str:
    """An image's name or number as a message shows it."""
    return f"'{name}'" if isinstance(name, str) else f"number {name}"


def _trailing_number(path: str) -> int | None:
    """The number that a file's name ends in: 42 of COCO_val2014_000000000042.jpg and of 42.jpg."""
    match = _NUMBER.search(Path(path).stem)
    return int(match[1]) if match else None
