"""Files of records whose fields a separator divides (CSV, TSV), read strictly: every cell a string."""

import csv
import re
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from sensorium.data import strings
from sensorium.data.sources.in_memory import Cells, drop_unnamed
from sensorium.data.sources.text_files import TextFile, first_sentence, read_text_file
from sensorium.errors import UserError

_BLOCK = 1 << 26  # bytes: no record of a CSV file may be longer
_SAMPLED = 100  # records that show which separator a file has
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_STATED_DELIMITER = re.compile(r'"?sep=(.)"?\s*')  # Excel's first line
_DECIMAL_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+\s*")
_HEADING_LINES = 10  # lines before the column names, of which a sentence tells


class Layout(NamedTuple):
    """How a file is divided: its `delimiter`, the `rows` of its start, the names of the columns first, and how many
    lines lie before them that say how it is divided."""

    delimiter: str
    rows: list[list[str]]
    skipped: int = 0


def read_delimited(path: Path, usual: str) -> Cells:
    """The records of a file, every cell a string. `usual` separates the fields of such files; another separator that
    fits better is noticed. Raises UserError."""
    file = read_text_file(path)
    layout = _find_layout(file, usual)
    names = layout.rows[0] if layout.rows else []
    table = _read_table(file, layout, names)
    series = (strings.to_series(cells) for cells in table.columns)
    columns = drop_unnamed(zip(names, series, strict=True), str(path))
    frame = pd.DataFrame(columns, index=range(table.num_rows))
    return Cells(frame, notices=(*file.notices, *_layout_notices(path, layout, usual)))


def _find_layout(file: TextFile, usual: str) -> Layout:
    """The separator that gives the records of the file's start most alike numbers of fields. Raises UserError for lines
    above the column names."""
    with file.open() as lines:
        first_line = _STATED_DELIMITER.fullmatch(lines.readline(20))
    if first_line:
        return Layout(first_line[1], _first_rows(file, first_line[1], 1), 1)
    layouts = [Layout(delimiter, _first_rows(file, delimiter, 0)) for delimiter in dict.fromkeys([usual, *_DELIMITERS])]
    best = max(layouts, key=_fit)  # the usual separator among equals
    if _fit(best)[0] < 1:
        for layout in layouts:
            _check_heading(file.path, layout)
    return best


def _first_rows(file: TextFile, delimiter: str, skipped: int) -> list[list[str]]:
    rows = []
    with file.open() as lines:
        for _ in range(skipped):
            lines.readline()
        try:
            for row in islice(csv.reader(lines, delimiter=delimiter), _SAMPLED):
                if row:
                    rows.append(row)
        except csv.Error:  # a field too long for this reader: what came before it has to do
            pass
    return rows


def _fit(layout: Layout) -> tuple[float, float, int]:
    """How well the separator divides the rows: the share with as many fields as the first; of the fields the share that
    holds no other separator, but for a decimal comma; how many fields. Zeros where the first row is not divided."""
    width = len(layout.rows[0]) if layout.rows else 0
    if width < 2:
        return 0, 0, width
    cells = [cell for row in layout.rows for cell in row]
    plain = sum(not any(mark in cell for mark in _DELIMITERS) or _is_decimal_comma(cell) for cell in cells)
    return sum(len(row) == width for row in layout.rows) / len(layout.rows), plain / len(cells), width


def _is_decimal_comma(cell: str) -> bool:
    return _DECIMAL_COMMA.fullmatch(cell) is not None


def _check_heading(path: Path, layout: Layout) -> None:
    """Raises UserError where some lines are less divided than all records after them, as titles and comments are."""
    widths = [len(row) for row in layout.rows]
    start = next((index for index, width in enumerate(widths) if width == widths[-1]), 0)
    if 0 < start <= _HEADING_LINES and len(set(widths[start:])) == 1 < len(widths[start:]) and widths[0] < widths[-1]:
        raise UserError(
            f"The first line of {path}, {layout.delimiter.join(layout.rows[0])[:60]!r}, has {widths[0]}"
            f" {'field' if widths[0] == 1 else 'fields'} and those from record {start + 1} on have {widths[-1]}; delete"
            " the lines above the column names, and put a field that holds the separator in double quotes."
        )


def _layout_notices(path: Path, layout: Layout, usual: str) -> list[str]:
    """A sentence on an unusual separator."""
    if len(layout.rows[0]) < 2 or layout.delimiter == usual:
        return []
    word = _DELIMITERS.get(layout.delimiter, repr(layout.delimiter))
    return [f"The columns of {path} are separated by {word}."]


def _read_table(file: TextFile, layout: Layout, names: list[str]) -> pa.Table:
    """The records as strings. Raises UserError for a record with another number of fields, or an open quote."""
    invalid_rows = []

    def stop_at_row(row: pyarrow.csv.InvalidRow) -> str:
        if not row.text.strip():
            return "skip"
        invalid_rows.append(row)
        return "error"

    # A single thread, as only then the handler gets the number of the row.
    reading = pyarrow.csv.ReadOptions(block_size=_BLOCK, use_threads=False, skip_rows=layout.skipped)
    parsing = pyarrow.csv.ParseOptions(
        delimiter=layout.delimiter, newlines_in_values=True, invalid_row_handler=stop_at_row
    )
    types = dict.fromkeys(names, pa.string())
    conversion = pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=False)
    try:
        with file.open_bytes() as content:
            table = pyarrow.csv.read_csv(content, reading, parsing, conversion)
    except pa.ArrowInvalid as error:
        _check_quotes(file, layout.delimiter)
        if invalid_rows:
            raise _row_error(file, layout, invalid_rows[0]) from None
        raise UserError(
            f"{file.path} is not a table that can be read: {first_sentence(error)}; save it as CSV again."
        ) from error
    _check_quotes(file, layout.delimiter)
    return table


def _row_error(file: TextFile, layout: Layout, row: pyarrow.csv.InvalidRow) -> UserError:
    """The error for a row with another number of fields than the first line."""
    with file.open() as lines:
        for _ in range(layout.skipped):
            lines.readline()
        start, where = layout.skipped + 1, f"A row of {file.path}"
        try:
            reader, count = csv.reader(lines, delimiter=layout.delimiter), -1
            for fields in reader:
                count += bool(fields)
                if fields and len(fields) != row.expected_columns and "".join(fields).strip():
                    where = f"Row {count} of {file.path} (line {start})"
                    break
                start = layout.skipped + reader.line_num + 1
        except csv.Error:  # a field too long for this reader
            pass
    return UserError(
        f"{where} has {row.actual_columns} {'field' if row.actual_columns == 1 else 'fields'} where the first line"
        f" names {row.expected_columns} columns: {row.text[:60]!r}; put a field that holds the separator or a line"
        " break in double quotes, and leave no separator out."
    )


def _check_quotes(file: TextFile, delimiter: str) -> None:
    """Raises UserError for a double quote that is never closed: the remainder of the file would be read as one field,
    without an error where that is the last field of the last row."""
    with file.open_bytes() as content:
        quotes = sum(block.count(b'"') for block in iter(lambda: content.read(1 << 20), b""))
    if quotes % 2 == 0:
        return
    with file.open() as lines:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        line = 1
        try:
            for _ in reader:
                line = reader.line_num + 1
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise UserError(
                    f"A double quote opened in the record at line {line} of {file.path} is never closed; close or"
                    " double it."
                ) from None
