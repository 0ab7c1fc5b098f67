"""What kind a column is, guessed from its values, with the reason in plain words."""

import re
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sensorium.data.columns.parse import (
    is_film,
    is_missing,
    is_picture,
    is_rows,
    is_sound,
    is_timed,
    is_words,
    numbers,
    to_label,
)
from sensorium.data.media.extensions import ARRAYS, ENDINGS, inline_medium, medium_of

_CODE = re.compile(r"\s*[+-]?0\d")
MOST_CLASSES = 20  # a target of whole numbers with more different values than this is a number
_NAMES = {"image": "pictures", "audio": "sounds", "video": "films"}


class Guess(NamedTuple):
    """A kind and why."""

    kind: str
    reason: str


class Ambiguous(Exception):
    """The values do not say what the column is. `reason` says why not, `kinds` what it may be, the likeliest first."""

    def __init__(self, reason: str, *kinds: str):
        super().__init__(reason)
        self.reason, self.kinds = reason, kinds


def guess_input(values: np.ndarray) -> Guess:
    """The kind of a column that nobody stated, from its cells [N]. Raises Ambiguous."""
    present = values[~is_missing(values)]
    if not len(present):
        return Guess("ignored", f"all {len(values)} values are absent")
    types = cell_types(present)
    if types <= {bool, np.bool_}:
        return _guess_constant(pd.unique(present), len(present)) or Guess("category", "the values are true or false")
    if all(issubclass(kind, int | float | np.number) and kind is not bool for kind in types):
        return _guess_numbers(present)
    if types <= {str, int, float, bool}:
        return _guess_strings(
            present if types == {str} else np.array([to_label(value) for value in present], dtype=object)
        )
    return _guess_objects(present)


def guess_shared_pictures(values: np.ndarray) -> Guess | None:
    """The kind of a group column of paths of pictures: it is an input too, which several records share. None for any
    other group column.
    """
    try:
        guess = guess_input(values)
    except Ambiguous:
        return None
    are_paths = guess.kind == "image" and all(isinstance(value, str) for value in values[~is_missing(values)])
    return Guess("image", f"{guess.reason}; the group too") if are_paths else None


def _guess_numbers(present: np.ndarray) -> Guess:
    parsed = numbers(present)
    constant = _guess_constant(pd.unique(parsed), len(parsed))
    if constant:
        return constant
    if np.isnan(parsed).any():
        raise Ambiguous(f"{int(np.isnan(parsed).sum())} of its values are infinite", "number", "ignored")
    if len(parsed) >= 20 and _is_consecutive(parsed):
        return Guess("ignored", "it counts the rows; state number if it means something")
    return Guess("number", f"all {len(parsed)} values are numbers")


def _is_consecutive(parsed: np.ndarray) -> bool:
    """Whether the numbers are consecutive, in any order: rows may have been shuffled since they were counted."""
    return bool((np.diff(np.sort(parsed)) == 1).all())


def _guess_strings(present: np.ndarray) -> Guess:
    distinct = pd.unique(present)
    guess = (
        _guess_constant(distinct, len(present))
        or _guess_inline(present)
        or _guess_addresses(present)
        or _guess_number_files(present)
        or _guess_paths(present)
        or _guess_written_numbers(present, distinct)
    )
    return guess or _guess_words(present, distinct)


def _guess_inline(present: np.ndarray) -> Guess | None:
    """Files that are written into the cells."""
    kind = inline_medium(present[0])
    if kind is None or any(inline_medium(value) != kind for value in _sample(present)):
        return None
    return Guess(kind, f"{len(present)} of {len(present)} values are {_NAMES[kind]}, written as text")


def _guess_addresses(present: np.ndarray) -> Guess | None:
    """Addresses of pages or of files elsewhere: nothing is ever fetched."""
    share = float(pd.Series(_sample(present)).str.match(r"(https?|ftp|s3|gs)://\S+$").mean())
    if share < 0.9:
        return None
    return Guess("ignored", "its values are addresses, and nothing is downloaded; bring the files, or state text")


def _guess_paths(present: np.ndarray) -> Guess | None:
    series = pd.Series(present, dtype=object)
    if not _path_endings(_sample(series)).isin([end for endings in ENDINGS.values() for end in endings]).any():
        return None
    ends = _path_endings(series)
    shares = {kind: float(ends.isin(endings).mean()) for kind, endings in ENDINGS.items()}
    if sum(shares.values()) < 0.05:
        return None
    kind = max(shares, key=shares.__getitem__)
    if shares[kind] < 1:
        exception = example(present, ~ends.isin(ENDINGS[kind]).to_numpy())
        raise Ambiguous(
            f"{shares[kind]:.1%} of its values are paths of {_NAMES[kind]}, but others are like {exception}",
            *dict.fromkeys((kind if shares[kind] >= 0.5 else "text", "image", "audio", "video", "text", "ignored")),
        )
    endings = " or ".join(f".{end}" for end in sorted(ends.unique()))
    return Guess(kind, f"{len(series)} of {len(series)} values are paths ending in {endings}")


def _guess_number_files(present: np.ndarray) -> None:
    """Raises Ambiguous for paths of files of numbers: only the user knows what those are."""
    ends = _path_endings(pd.Series(_sample(present), dtype=object))
    if ends.isin(ARRAYS).all():
        endings = " or ".join(f".{end}" for end in sorted(ends.unique()))
        raise _ambiguous_numbers(f"its values are paths ending in {endings}")


def _ambiguous_numbers(form: str) -> Ambiguous:
    return Ambiguous(f"{form}, which may be readings over time or sets of points", "ignored", "series", "points")


def _guess_written_numbers(present: np.ndarray, distinct: np.ndarray) -> Guess | None:
    """Strings that are numbers. '007' is not one: a leading zero marks a code."""
    if np.isnan(numbers(_sample(distinct))).all():
        return None
    parsed = written_numbers(present)
    share = float((~np.isnan(parsed)).mean())
    if share == 1:
        return _guess_numbers(parsed)
    if share >= 0.2 and not _is_prose(distinct) and len(pd.unique(parsed)) > 2:
        word = example(present, np.isnan(parsed))
        raise Ambiguous(
            f"{share:.1%} of its values are numbers, but others are like {word}", "category", "number", "text"
        )
    return None


def written_numbers(present: np.ndarray) -> np.ndarray:
    """float64 [N]: the cells as numbers, NaN where a cell is not a number or, with a leading zero, a code."""
    parsed = numbers(present)
    if present.dtype == object:
        codes = (type(value) is str and _CODE.match(value) is not None for value in present)
        parsed[np.fromiter(codes, dtype=bool, count=len(present))] = np.nan
    return parsed


def _guess_words(present: np.ndarray, distinct: np.ndarray) -> Guess:
    count, different = len(present), len(distinct)
    series = pd.Series(_sample(distinct))
    length = series.str.len().mean()
    repeated = count >= 5 * different or (count >= 1.5 * different and different <= 20)
    if repeated and length <= 40:
        return Guess("category", f"{different} different short values in {count} rows")
    if _is_prose(distinct):
        return Guess("text", f"{different} different values of {_mean_words(series):.1f} words on average")
    coded = float((series.str.contains(r"\d") | ~series.map(_has_letters)).mean())
    if different >= 0.9 * count and (coded < 0.5 or different == count):
        if coded >= 0.5:
            return Guess("key", f"all {count} values are different and look like identifiers")
        return Guess("text", f"{different} different words in {count} rows")
    if length > 40:
        return Guess("text", f"{different} different values of {length:.0f} characters on average")
    likelier = "category" if count >= 2 * different else "text" if coded < 0.5 else "ignored"
    kinds = dict.fromkeys((likelier, "category", "text", "group", "ignored"))
    raise Ambiguous(f"it has {different} different short values in {count} rows", *kinds)


def _guess_objects(present: np.ndarray) -> Guess:
    """Bytes, arrays, pictures, sounds, films, readings; anything else cannot be an input."""
    kinds, counts = np.unique([_kind_of_cell(value) for value in present], return_counts=True)
    if len(kinds) > 1:
        mixture = ", ".join(f"{count} {kind}" for kind, count in zip(kinds, counts, strict=True))
        raise Ambiguous(f"its values are of several kinds ({mixture})", "ignored", "image", "audio", "video", "text")
    kind = str(kinds[0])
    if kind in _NAMES:
        return Guess(kind, f"{len(present)} of {len(present)} values are {_NAMES[kind]} in memory")
    if kind == "series":
        return Guess("series", f"{len(present)} of {len(present)} values are readings with a time")
    if kind == "rows of numbers":
        raise _ambiguous_numbers("its values are rows of numbers")
    if kind == "date":
        return Guess("date", f"{len(present)} of {len(present)} values are dates")
    if kind == "words":
        return Guess("text", f"{len(present)} of {len(present)} values are lists of texts")
    raise Ambiguous(f"its values are of the type {kind}, which no input reads", "ignored")


def _kind_of_cell(value: Any) -> str:
    """What a cell holds, by a medium's name or that of its type."""
    if isinstance(value, bytes | bytearray):
        return medium_of(value) or "bytes"
    if is_sound(value):
        return "audio"
    if is_film(value):
        return "video"
    if is_rows(value):
        return "rows of numbers"
    if is_picture(value):
        return "image"
    if not isinstance(value, str) and is_words(value):
        return "words"
    if is_timed(value):
        return "series"
    if isinstance(value, date):
        return "date"
    if isinstance(value, str):
        end = value.rpartition(".")[2].lower()
        return next((kind for kind, endings in ENDINGS.items() if end in endings), "str")
    return type(value).__name__


def _guess_constant(distinct: np.ndarray, count: int) -> Guess | None:
    if len(distinct) > 1 or count < 2:
        return None
    return Guess("ignored", f"all {count} values are the same: {str(distinct[0])[:30]!r}")


def _is_prose(distinct: np.ndarray) -> bool:
    """True when values are mostly several words, or long."""
    series = pd.Series(_sample(distinct))
    return bool(_mean_words(series) >= 1.5 or (series.str.len().mean() >= 40 and _mean_words(series) > 1.2))


def is_sentences(present: np.ndarray) -> bool:
    """True for strings [N] that are mostly different and of several words, with more than two between commas."""
    series = pd.Series(_sample(present), dtype=object)
    words, clauses = series.str.split().str.len().mean(), (series.str.count(r"[,;|]+(?=\s*\S)") + 1).mean()
    return bool(len(pd.unique(present)) > len(present) / 2 and words >= 3 and words / clauses > 2)


def _mean_words(series: pd.Series) -> float:
    return float(series.str.count(r"[\s|,;]+").mean() + 1)


def _has_letters(value: str) -> bool:
    return any(char.isalpha() for char in value)


def cell_types(present: np.ndarray) -> set[type]:
    """The types of the cells."""
    return {present.dtype.type} if present.dtype != object else set(map(type, present))


def _sample(values: np.ndarray | pd.Series) -> np.ndarray | pd.Series:
    """At most about ten thousand of the values, evenly spaced: enough to see what they look like."""
    return values[:: max(1, len(values) // 10_000)]


def _path_endings(series: pd.Series) -> pd.Series:
    """The extension of each path, in small letters; NaN without one."""
    return series.str.extract(r"\.([A-Za-z0-9]{2,7})$", expand=False).str.lower()


def example(values: np.ndarray, where: np.ndarray) -> str:
    """The first value where `where`, bool [N], is True: its first 30 characters, in quotes."""
    return repr(str(values[np.flatnonzero(where)[0]])[:30])
