"""Files of records whose fields a separator divides (CSV, TSV), read strictly: every cell a string."""

import codecs
import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from sensorium.data import strings
from sensorium.errors import UserError

_BLOCK = 1 << 26  # bytes: no record of a CSV file may be longer


def read_delimited(path: Path, delimiter: str) -> pd.DataFrame:
    """The records of a file whose fields `delimiter` separates, every cell a string. Raises UserError."""
    check_utf8(path)
    names = _read_names(path, delimiter)
    invalid_rows = []

    def stop_at_row(row: pyarrow.csv.InvalidRow) -> str:
        invalid_rows.append(row)
        return "error"

    # A single thread, as only then the handler gets the number of the row.
    reading = pyarrow.csv.ReadOptions(block_size=_BLOCK, use_threads=False)
    parsing = pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=stop_at_row)
    types = dict.fromkeys(names, pa.string())
    conversion = pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=False)
    try:
        table = pyarrow.csv.read_csv(path, reading, parsing, conversion)
    except pa.ArrowInvalid as error:
        _check_quotes(path, delimiter)
        if invalid_rows:
            raise _row_error(path, invalid_rows[0]) from None
        raise UserError(
            f"{path} is not a table that can be read: {first_sentence(error)}; save it as CSV again."
        ) from error
    _check_quotes(path, delimiter)
    return pd.DataFrame({name: strings.to_series(table[name]) for name in names}, index=range(table.num_rows))


def _read_names(path: Path, delimiter: str) -> list[str]:
    """The names of the columns. Raises UserError when two are alike, or another delimiter seems to separate them."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        names = next((row for row in csv.reader(file, delimiter=delimiter) if row), [])
    if len(names) == 1:
        likelier = next((mark for mark in (";", "\t", ",") if mark != delimiter and mark in names[0]), None)
        if likelier:
            raise UserError(
                f"The columns of {path} seem to be separated by {likelier!r}, not {delimiter!r};"
                f" save it with {delimiter!r} (a .csv has commas, a .tsv tabs)."
            )
    check_names(names, str(path))
    return names


def _row_error(path: Path, row: pyarrow.csv.InvalidRow) -> UserError:
    """The error for a row with another number of fields than the first line."""
    where = f"Row {row.number - 1} of {path}" if row.number else f"A row of {path}"
    return UserError(
        f"{where} has {row.actual_columns} {'field' if row.actual_columns == 1 else 'fields'} where the first line"
        f" names {row.expected_columns} columns: {row.text[:60]!r}; put a field that holds the separator or a line"
        " break in double quotes, and leave no separator out."
    )


def _check_quotes(path: Path, delimiter: str) -> None:
    """Raises UserError for a double quote that is never closed: the remainder of the file would be read as one field,
    without an error where that is the last field of the last row."""
    with open(path, "rb") as file:
        quotes = sum(block.count(b'"') for block in iter(lambda: file.read(1 << 20), b""))
    if quotes % 2 == 0:
        return
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        line = 1
        try:
            for _ in reader:
                line = reader.line_num + 1
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise UserError(
                    f"A double quote opened in the record at line {line} of {path} is never closed; close or double it."
                ) from None


def check_utf8(path: Path) -> None:
    """Raises UserError naming the first line that is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines = 1
    with open(path, "rb") as file:
        while True:
            block = file.read(1 << 20)
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                line = lines + error.object[: error.start].count(b"\n")
                raise UserError(f"Line {line} of {path} is not UTF-8 text; save the file as UTF-8.") from None
            lines += block.count(b"\n")
            if not block:
                return


def first_sentence(error: Exception) -> str:
    """The first sentence of a library's error."""
    return str(error).splitlines()[0].split(". ")[0].rstrip(".")


def check_names(names: list[Any], source: str) -> None:
    """Raises UserError when two columns of `source` have one name."""
    repeated = [name for name, count in Counter(map(str, names)).items() if count > 1]
    if repeated:
        raise UserError(f"{source} has more than one column named '{repeated[0]}'; rename or delete all but one.")
