"""A folder of pictures, asked for by a file's name or by the number that it ends in."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from sensorium.data.columns.infer import ENDINGS
from sensorium.errors import UserError

_NUMBER = re.compile(r"(\d+)$")


class Pictures:
    """Every picture in `folder`, however deep. The folder is gone through once, whatever is asked.

    Raises UserError when there is no such folder, or no picture in it.
    """

    def __init__(self, folder: Path):
        if not folder.is_dir():
            raise UserError(f"There is no folder {folder}; give the folder of the pictures with --images.")
        self.folder = folder
        self.paths = [
            os.path.join(place, file)
            for place, _, files in os.walk(folder)
            for file in files
            if os.path.splitext(file)[1][1:].lower() in ENDINGS["image"] and not file.startswith(".")
        ]
        if not self.paths:
            raise UserError(
                f"There are no pictures in {folder}; a picture's name ends in {', '.join(ENDINGS['image'])}."
            )

    def find(self, asked: list[str] | list[int]) -> list[str | None]:
        """The path of each that is asked for, by its name (str) or its number (int); None for what is not there.

        Raises UserError for one that is there twice.
        """
        by_name = not asked or isinstance(asked[0], str)
        known, twice = self._indexed(os.path.basename if by_name else _number)
        for one in asked if twice else ():
            if one in twice:
                told = f"'{one}'" if by_name else f"number {one}"
                raise UserError(
                    f"The picture {told} is more than once in {self.folder}, as {known[one]} and {twice[one]}; give the"
                    " folder of one part of the data set."
                )
        return [known.get(one) for one in asked]

    def _indexed(self, name: Callable) -> tuple[dict, dict]:
        """The paths by their names, and those of which another has the name."""
        known: dict = {}
        twice: dict = {}
        for path in self.paths:
            (twice if known.setdefault(name(path), path) is not path else {})[name(path)] = path
        return known, twice


def _number(path: str) -> int | None:
    """The number that a file's name ends in: 42 of COCO_val2014_000000000042.jpg and of 42.jpg."""
    found = _NUMBER.search(Path(path).stem)
    return int(found[1]) if found else None
