"""Series of readings: a file, a list of rows, an array or columns made times in seconds and values with gaps."""

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from sensorium.data.columns.parse import TIMES, is_missing, numbers, objects
from sensorium.data.media import arrays
from sensorium.data.media.content import read_content
from sensorium.features import Series, default_channels

MOST_READINGS = 1_000_000
MOST_CHANNELS = 256


def decode(value: Any, root: Path, channels: Sequence[str] | None = None) -> Series:
    """`value` as a Series: its own channels, or those named `channels`, in that order; a missing one is all gaps.

    `value` is a path or the bytes of a CSV (with a header), Parquet or .npy file, rows [time, value, ...], an array
    [L, 1 + C], or columns {"time": [...], name: [...]}. The time is the column `time`, `timestamp` or `t`, in a file
    without these the first; in seconds or as ISO dates (UTC unless they state a zone). Readings are sorted by time.
    Raises ValueError with a reason when it cannot be read, holds no number, or has more than a million readings."""
    value = read_content(value, root)
    if isinstance(value, bytes):
        value = _from_file(value)
    if isinstance(value, list | tuple) and value and all(isinstance(row, dict) for row in value):
        names = dict.fromkeys(name for row in value for name in row)
        value = {name: [row.get(name) for row in value] for name in names}
    times, columns, names = _from_columns(value) if isinstance(value, dict) else _from_array(value)
    series = _to_series(times, columns, names)
    return series if channels is None else _select_channels(series, channels)


def measure(value: Any, root: Path) -> dict[str, float]:
    """How many `readings` and `channels` the decoded `value` has, and the `span` from first to last in seconds."""
    times, values, _ = decode(value, root)
    return {"readings": len(times), "channels": values.shape[1], "span": float(times[-1] - times[0])}


def _from_file(content: bytes) -> np.ndarray | dict[str, np.ndarray]:
    """An array, or the columns, of which the first is `time`."""
    arrays.check_size(content)
    if content.startswith(arrays.NPY):
        return arrays.read_npy(content)
    table = _read_parquet(content) if content.startswith(b"PAR1") else _read_csv(content)
    repeated = [name for name, count in Counter(table.column_names).items() if count > 1]
    if repeated:
        raise ValueError(f"it has more than one column '{repeated[0]}'")
    time = next((name for name in table.column_names if _is_time(name)), table.column_names[0])
    channels = {name: table[name].to_numpy() for name in table.column_names if name != time}
    return {"time": table[time].to_numpy()} | channels


def _read_parquet(content: bytes) -> pa.Table:
    try:
        file = pyarrow.parquet.ParquetFile(io.BytesIO(content))
        _check_count(file.metadata.num_rows, file.metadata.num_columns - 1)
        return file.read()
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError("the file is not Parquet that can be read") from error


def _read_csv(content: bytes) -> pa.Table:
    _check_count(content.count(b"\n") - 1, 1)
    try:
        header = content.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].decode()
    except UnicodeDecodeError as error:
        raise ValueError("the file is no CSV, Parquet or .npy of readings") from error
    delimiter = max(",;\t", key=header.count)
    _check_count(0, header.count(delimiter))
    if not np.isnan(numbers(objects([name.strip() for name in header.split(delimiter)]))).any():
        raise ValueError("its first line is numbers where the names of the columns belong")
    try:
        return pyarrow.csv.read_csv(
            io.BytesIO(content),
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=len(content) + 1),
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter),
            convert_options=pyarrow.csv.ConvertOptions(strings_can_be_null=True),
        )
    except pa.ArrowInvalid as error:
        reason = str(error).splitlines()[0].removeprefix("CSV parse error: ")
        raise ValueError(f"the file is no CSV that can be read ({reason})") from error


def _from_columns(value: dict[str, Any]) -> tuple[np.ndarray, list[np.ndarray], tuple[str, ...]]:
    time = next((name for name in value if _is_time(name)), None)
    if time is None:
        names = ", ".join(map(str, list(value)[:5]))
        raise ValueError(f"it has no column 'time', 'timestamp' or 't' that says when (it has {names})")
    columns = {str(name): _check_column(str(name), values) for name, values in value.items()}
    for name, values in columns.items():
        if len(values) != len(columns[time]):
            raise ValueError(f"'{name}' has {len(values)} readings where '{time}' has {len(columns[time])}")
    times = columns.pop(time)
    return times, list(columns.values()), tuple(columns)


def _check_column(name: str, values: Any) -> np.ndarray:
    """The readings as an array [L]. Raises ValueError when they are not a list."""
    if isinstance(values, np.ndarray) and values.ndim == 1:
        return values
    if not isinstance(values, list | tuple):
        raise ValueError(f"'{name}' is {arrays.format_cell(values)}, not a list of readings")
    return objects(values)


def _from_array(value: Any) -> tuple[np.ndarray, list[np.ndarray], tuple[str, ...]]:
    if isinstance(value, np.ndarray) and value.dtype == object:
        value = list(value)
    if isinstance(value, list | tuple):
        _check_count(len(value), 1)
        value = arrays.array_from_rows(value, "reading")
    if isinstance(value, list):
        return value[0], value[1:], default_channels(len(value) - 1)
    if not isinstance(value, np.ndarray) or value.ndim != 2 or value.dtype.kind not in "biuf":
        kind = arrays.describe_type(value)
        raise ValueError(f"readings are rows [time, value, ...], an array or columns with a 'time', not {kind}")
    return value[:, 0], list(value[:, 1:].T), default_channels(value.shape[1] - 1)


def _to_series(times: np.ndarray, columns: list[np.ndarray], channels: tuple[str, ...]) -> Series:
    _check_count(len(times), len(columns))
    if not len(times):
        raise ValueError("it holds no readings")
    if not columns:
        raise ValueError("it has times and no values")
    seconds = _to_seconds(times)
    unnamed = channels == default_channels(len(channels))
    titles = [f"value {name}" if unnamed else f"'{name}'" for name in channels]
    named_columns = zip(columns, titles, strict=True)
    finite_columns = [arrays.finite_column(column, "reading", title) for column, title in named_columns]
    with np.errstate(over="ignore"):
        values = np.stack(finite_columns, axis=1).astype(np.float32)  # [L, C]
    if np.isinf(values).any():
        raise ValueError("it holds a number that is too large (over 3e38)")
    if np.isnan(values).all():
        raise ValueError("it holds no number, every value is a gap")
    order = np.argsort(seconds, kind="stable")
    return Series(seconds[order], values[order], channels)


def _to_seconds(times: np.ndarray) -> np.ndarray:
    """float64 [L] of numbers, dates or ISO dates. Raises ValueError naming the first reading without a time."""
    if times.dtype.kind in "mM":
        return _seconds_since_1970(times)
    absent, seconds = is_missing(times), numbers(times)
    if absent.any():
        raise ValueError(f"reading {np.flatnonzero(absent)[0] + 1} has no time")
    if np.isnan(seconds).all():
        scalars = objects([value if pd.api.types.is_scalar(value) else None for value in times])
        dates = pd.to_datetime(pd.Series(scalars), utc=True, format="ISO8601", errors="coerce")
        seconds = np.where(dates.isna(), np.nan, _seconds_since_1970(dates.fillna(pd.Timestamp(0, tz="UTC"))))
    invalid = np.flatnonzero(np.isnan(seconds))
    if len(invalid):
        row, cell = invalid[0] + 1, arrays.format_cell(times[invalid[0]])
        raise ValueError(f"the time of reading {row} is {cell}, neither seconds nor an ISO date")
    return seconds


def _seconds_since_1970(dates: Any) -> np.ndarray:
    """float64 [L] of NumPy's dates or of a pandas column of dates in UTC."""
    times = np.asarray(dates.dt.tz_localize(None) if isinstance(dates, pd.Series) else dates)
    if np.isnat(times).any():
        raise ValueError(f"reading {np.flatnonzero(np.isnat(times))[0] + 1} has no time")
    return times.astype(f"{times.dtype.kind}8[us]").astype(np.int64) / 1e6


def _select_channels(series: Series, channels: Sequence[str]) -> Series:
    if not series.named and len(series.channels) != len(channels):
        raise ValueError(f"it has {len(series.channels)} values a reading where training had {len(channels)}")
    if not set(series.channels) & set(channels):
        raise ValueError(
            f"none of its channels ({', '.join(series.channels[:5])}) is one of training's ({', '.join(channels[:5])})"
        )
    column_of = {name: index for index, name in enumerate(series.channels)}
    values = np.full((len(series.times), len(channels)), np.nan, dtype=np.float32)  # [L, C]
    for index, name in enumerate(channels):
        if name in column_of:
            values[:, index] = series.values[:, column_of[name]]
    return Series(series.times, values, tuple(channels))


def _check_count(readings: int, channels: int) -> None:
    if readings > MOST_READINGS:
        raise ValueError(f"it has {readings:,} readings, more than the bound of a million")
    if channels > MOST_CHANNELS:
        raise ValueError(f"it has {channels:,} channels, more than the bound of {MOST_CHANNELS:,}")


def _is_time(name: Any) -> bool:
    return str(name).strip().lower() in TIMES
