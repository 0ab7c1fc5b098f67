"""Files of JSON: a record a line, or one value that holds all records."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sensorium.data.sources.in_memory import Cells, from_columns, from_records
from sensorium.data.sources.text_files import read_text_file
from sensorium.errors import UserError

_PUBLISHED_FIELDS = ({"identifier", "sentence"}, {"qas"})  # of records of NLVR2 and Visual Genome


def read_json_lines(path: Path) -> Cells:
    """The records of a file with an object a line. Raises UserError."""
    file = read_text_file(path)
    records = []
    with file.open() as lines:
        for number, record in parse_json_lines(lines, path):
            if not isinstance(record, dict):
                raise UserError(
                    f'Line {number} of {path} is not an object; each line looks like {{"column": value, ...}}.'
                )
            records.append(record)
    return from_records(records, str(path))._replace(notices=file.notices)


def read_json(path: Path) -> Cells:
    """The records of a file that holds a list of objects, an object of columns (lists, or objects by row, as pandas
    writes them), or an object a line. Raises UserError, also for a file of a published data set."""
    file = read_text_file(path)
    with file.open() as lines:
        text = lines.read()
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        if not error.msg.startswith("Extra data"):
            raise UserError(
                f"{path} is not JSON: {error.msg} at line {error.lineno}, character {error.colno}; if it was cut"
                " short, bring a whole copy."
            ) from None
        content = [value for _, value in parse_json_lines(text.splitlines(), path)]
    if isinstance(content, list) and content and all(isinstance(record, dict) for record in content):
        if not any(fields <= content[0].keys() for fields in _PUBLISHED_FIELDS):
            return from_records(content, str(path))._replace(notices=file.notices)
    elif columns := _columns(content):
        return from_columns(columns, str(path))._replace(notices=file.notices)
    raise UserError(
        f"{path} is no table; if it is a data set's file (VQA, COCO, NLVR2, Flickr8k, ...), sensorium table makes a"
        ' table of it, else write it as a list of objects, [{"column": value, ...}, ...].'
    )


def _columns(content: Any) -> dict[str, list[Any]] | None:
    """By name the columns of an object that holds a list of cells, or an object with a cell a row, for each."""
    if not isinstance(content, dict) or not content:
        return None
    columns = list(content.values())
    rows = [str(row) for row in range(len(columns[0]))] if isinstance(columns[0], dict) else None
    if all(isinstance(cells, dict) and list(cells) == rows for cells in columns):
        return {name: list(cells.values()) for name, cells in content.items()}
    is_table = all(isinstance(cells, list) and not any(isinstance(cell, dict) for cell in cells) for cells in columns)
    return content if is_table else None


def parse_json_lines(lines: Iterable[str], path: Path) -> Iterator[tuple[int, Any]]:
    """Yields the number of each line of `path` that is not blank, from 1, and its value. Raises UserError."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(
                f"Line {number} of {path} is not JSON: {error.msg} at character {error.pos + 1}; mend that line."
            ) from None
