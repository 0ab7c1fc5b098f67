"""Workbooks of Excel (.xlsx): a sheet whose first row names the columns, cells of the types that Excel gives them."""

import zipfile
from pathlib import Path
from typing import Any

import pandas as pd

from sensorium.data.columns.parse import objects
from sensorium.data.sources.in_memory import Cells, drop_unnamed
from sensorium.data.sources.text_files import first_sentence, unpacked_bound
from sensorium.errors import UserError, needs, unknown


def split_sheet(path: Path) -> tuple[Path, str | None]:
    """The workbook and the sheet that `book.xlsx#Sheet` names; the sheet is None where none is named."""
    folder, marked, name = str(path).rpartition(".xlsx#")
    return (Path(f"{folder}.xlsx"), name) if marked and not path.exists() else (path, None)


def read_workbook(path: Path) -> Cells:
    """The records of the only sheet with cells, or of the one that `book.xlsx#Sheet` names. Raises UserError."""
    path, sheet_name = split_sheet(path)
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise needs("openpyxl", "xlsx") from error
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > unpacked_bound(path):
            raise UserError(f"{path} unpacks to {size // 2**20:,} MiB; save the sheet as CSV if that is right.")
        book = load_workbook(path, read_only=True, data_only=True)
        sheets = {sheet.title: _read_rows(sheet) for sheet in book.worksheets if sheet_name in (None, sheet.title)}
        book.close()
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, SyntaxError) as error:
        raise UserError(f"{path} cannot be read as a workbook: {first_sentence(error)}; save it again.") from error
    if sheet_name is not None and sheet_name not in sheets:
        raise unknown("sheet", f"{path}#{sheet_name}", [f"{path}#{name}" for name in book.sheetnames])
    sheets = {title: rows for title, rows in sheets.items() if rows or title == sheet_name}
    if len(sheets) > 1:
        listed = ", ".join(f"'{path}#{title}'" for title in sheets)
        raise UserError(f"{path} has {len(sheets)} sheets; say which one is meant: {listed}.")
    return _to_cells(next(iter(sheets.values()), []), str(path))


def _read_rows(sheet: Any) -> list[tuple[Any, ...]]:
    """The rows from the first to the last that has a cell."""
    sheet.reset_dimensions()  # programs that are not Excel often write wrong ones
    rows = list(sheet.iter_rows(values_only=True))
    filled = [index for index, row in enumerate(rows) if any(cell not in (None, "") for cell in row)]
    return rows[filled[0] : filled[-1] + 1] if filled else []


def _to_cells(rows: list[tuple[Any, ...]], source: str) -> Cells:
    names, *records = rows or [()]
    width = max(map(len, rows), default=0)
    columns = zip(*(row + (None,) * (width - len(row)) for row in records), strict=True) if records else [()] * width
    names = ["" if name is None else str(name).strip() for name in names] + [""] * (width - len(names))
    series = (pd.Series(objects(cells), dtype=object) for cells in columns)
    return Cells(pd.DataFrame(drop_unnamed(zip(names, series, strict=True), source), index=range(len(records))))
