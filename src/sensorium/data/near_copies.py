"""Families of records whose texts, pictures or sounds are nearly equal, which a split keeps on one side."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree

from sensorium.console import shorten
from sensorium.data.columns.parse import is_missing
from sensorium.data.fingerprints import (
    CHANNELS,
    FEWEST_WORDS,
    RATE,
    SECONDS,
    Neighbours,
    nearest_fingerprints,
    nearest_texts,
    split_words,
    wave_distance,
)
from sensorium.data.media import audio
from sensorium.data.media.content import format_value
from sensorium.data.schema import MEDIA, InputSpec
from sensorium.data.split import connect, join_codes
from sensorium.data.table import Table
from sensorium.data.targets import TARGETS
from sensorium.errors import counted

NOUNS = {
    "image": "picture", "audio": "sound", "video": "film", "series": "series", "points": "set of points",
    "text": "text",
}  # fmt: skip


class _Reach(NamedTuple):
    """How far apart copies of one kind are at most, and below which distance differences mean nothing."""

    farthest: float
    least: float


_REACHES = {"text": _Reach(0.3, 0.02), "image": _Reach(0.06, 0.004), "audio": _Reach(0.15, 0.02)}
_GAP = 2.0  # copies are nearer to each other than to anything else, by this factor
_IN_GAP = 0.1  # of the copies, so many may be in the gap all the same
_NEARLY_ALL = 0.985  # of the copies are within the distance that counts: the last few often join what is only alike
_LARGEST, _LARGEST_SHARE = 4, 0.03  # records of a family, and their share of all; more are alike by nature
_REUSED, _CROWD = 0.3, 3.5  # share of records in families of so many on average: values repeat, and are no copies
_FEW_WORDS, _SHORT_REUSED = 6, 0.05  # shorter texts are equal by chance where more than this share are
_MOST_WAVES = 20_000  # pairs of sounds whose waves are compared
_UNLIKE = 0.5  # distance of two sounds' fingerprints from which their waves differ
_LARGEST_UNION = 0.2  # share of all records in groups that families have joined
_CACHED = 64  # decoded waves
_FEWEST_SOURCES, _FEWEST_OF_SOURCE = 10, 5  # values of a column that reads like a source, and records of each


class ColumnFamilies(NamedTuple):
    """The families of one input: `codes`, int64 [N], equal within a family and -1 outside all; equal values have one
    code in `exact`, -1 where absent."""

    column: str
    noun: str
    codes: np.ndarray
    exact: np.ndarray

    def take(self, keep: np.ndarray) -> "ColumnFamilies":
        """Those of the records `keep`, bool [N]."""
        return self._replace(codes=self.codes[keep], exact=self.exact[keep])


def find_families(
    table: Table, ids: dict[str, np.ndarray], fingerprints: dict[str, np.ndarray], split: str | None = None
) -> tuple[np.ndarray | None, list[str]]:
    """What a split keeps together: int64 [N], equal for records of one family or group, None without families; and a
    sentence on the families of each column.

    ids, fingerprints: the scan's, by input. split: the column that states the test, if one does. None where the target
    is asked of one input several times.
    """
    if any(TARGETS[spec.kind].repeats_inputs for spec in table.schema.targets):
        return None, []
    families = [column for column in compare_columns(table, ids, fingerprints) if (column.codes >= 0).any()]
    if not families:
        return None, []
    codes = join_families(families, table.groups)
    if codes is None:
        example = example_pair(families[0])
        sentence = (
            f"! Near-copies of different '{table.schema.group}' may stand on both sides of a split, as they would join"
            f" the groups to a few large ones (rows {' and '.join(str(table.rows[row]) for row in example)}, for"
            " example); the score may be a little too good."
        )
        return None, [sentence]
    return codes, [_family_sentence(table, column, split) for column in families]


def compare_columns(
    table: Table, ids: dict[str, np.ndarray], fingerprints: dict[str, np.ndarray]
) -> list[ColumnFamilies]:
    """The families of each text and media input, also of those that have none."""
    columns = [_compare_column(table, spec, ids, fingerprints) for spec in table.schema.inputs]
    return [column for column in columns if column is not None]


def _compare_column(
    table: Table, spec: InputSpec, ids: dict[str, np.ndarray], fingerprints: dict[str, np.ndarray]
) -> ColumnFamilies | None:
    """The families of one input: of equal files those without a fingerprint; None for numbers and categories, and for
    an input that the table lacks."""
    if spec.modality == "text":
        return _text_families(table, spec) if spec.columns[0] in table.frame.columns else None
    if spec.modality not in MEDIA:
        return None
    content = ids[spec.name]
    exact = _factorize(content, content != 0)
    if spec.modality not in CHANNELS or spec.name not in fingerprints:
        codes = np.full(len(table), -1) if _alike_by_nature(exact) else _drop_singles(exact)
        return ColumnFamilies(spec.name, NOUNS[spec.modality], codes, exact)
    prints = fingerprints[spec.name]
    visible = _factorize(content, (content != 0) & prints.any(axis=1))
    first = _first_records(visible)

    def neighbours() -> Neighbours:
        near = nearest_fingerprints(prints[first], CHANNELS[spec.modality])
        return _compare_waves(table, spec, first, near) if spec.modality == "audio" else near

    codes = _join_near(visible, neighbours, _REACHES[spec.modality])
    return ColumnFamilies(spec.name, NOUNS[spec.modality], codes, exact)


def _text_families(table: Table, spec: InputSpec) -> ColumnFamilies:
    values = table.frame[spec.columns[0]].to_numpy()
    present = ~is_missing(values)
    words = [split_words(str(value)) if is_present else [] for value, is_present in zip(values, present, strict=True)]
    lengths = np.array([len(text) for text in words])
    long_enough = lengths >= FEWEST_WORDS
    texts = np.array([" ".join(text) for text in words], dtype=object)
    equal = _factorize(texts, long_enough)
    exact = _factorize(np.array([str(value) for value in values], dtype=object), long_enough)
    share = pd.Series(equal[equal >= 0]).duplicated(keep=False).mean() if long_enough.any() else 0.0
    if share > _SHORT_REUSED and np.median(lengths[long_enough]) < _FEW_WORDS:
        return ColumnFamilies(spec.name, NOUNS["text"], *[np.full(len(values), -1)] * 2)
    first = _first_records(equal)
    codes = _join_near(equal, lambda: nearest_texts(texts[first].tolist()), _REACHES["text"])
    return ColumnFamilies(spec.name, NOUNS["text"], codes, exact)


def _compare_waves(table: Table, spec: InputSpec, first: np.ndarray, near: Neighbours) -> Neighbours:
    """The distances of the waves themselves, where two sounds' fingerprints are alike: the records `first` have them.

    Two readings of a word look alike; their waves do not run together.
    """

    @lru_cache(_CACHED)
    def wave(position: int) -> np.ndarray:
        samples = audio.decode(table.value(int(first[position]), spec), table.root, rate=RATE)
        return samples[: int(SECONDS * RATE)]

    pairs = near.pairs[near.distances < _UNLIKE]
    if len(pairs) > _MOST_WAVES:
        return Neighbours(pairs[:0], near.distances[:0])
    return Neighbours(pairs, np.array([wave_distance(wave(a), wave(b)) for a, b in pairs.tolist()]))


def _factorize(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """int64 [N]: a code from 0 for each different value, -1 outside `where`, bool [N]."""
    codes = np.full(len(values), -1)
    codes[where] = pd.factorize(values[where])[0]
    return codes


def _first_records(codes: np.ndarray) -> np.ndarray:
    """int64 [M]: the first record of each of the codes, int64 [N] from 0, -1 for none."""
    present = np.flatnonzero(codes >= 0)
    return present[np.unique(codes[present], return_index=True)[1]]


def _join_near(equal: np.ndarray, neighbours: Callable[[], Neighbours], reach: _Reach) -> np.ndarray:
    """int64 [N]: the families of records, by the codes of equal values and the distances between these.

    The largest distance within a family is where the data has a gap: the distances at which values come together
    (single linkage) are few between it and twice as far. Without a gap only equal values are a family.
    """
    count = int(equal.max(initial=-1)) + 1
    if count == 0 or _alike_by_nature(equal):
        return np.full(len(equal), -1)
    pairs, distances = neighbours()
    tree = _spanning_tree(pairs, np.maximum(distances, reach.least), count)
    heights = np.sort(tree.data)
    candidates = np.unique(heights[heights <= reach.farthest])
    joined = np.searchsorted(heights, candidates, side="right")
    in_gap = np.searchsorted(heights, candidates * _GAP, side="right") - joined
    crowded = in_gap / np.maximum(joined, 1)
    # The emptiest gap first; of equally empty ones the farthest.
    for index in np.lexsort((-candidates, crowded)):
        if crowded[index] > _IN_GAP:
            break
        within = tree.data <= candidates[joined >= _NEARLY_ALL * joined[index]][0]
        codes = connect(np.stack([tree.row[within], tree.col[within]], axis=1), count)[equal]
        codes[equal < 0] = -1
        if not _alike_by_nature(codes):
            return _drop_singles(codes)
    return _drop_singles(equal)


def _spanning_tree(pairs: np.ndarray, distances: np.ndarray, count: int) -> coo_array:
    graph = coo_array((distances, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return minimum_spanning_tree(graph.tocsr()).tocoo()


def _alike_by_nature(codes: np.ndarray) -> bool:
    """Whether families, int64 [N], -1 for no value, are so large, or so many of them large, that they are no copies."""
    sizes = np.bincount(codes[codes >= 0])
    shared = sizes[sizes > 1]
    if not len(shared):
        return False
    crowd = shared.sum() > _REUSED * sizes.sum() and shared.mean() > _CROWD
    return bool(crowd or shared.max() > max(_LARGEST, _LARGEST_SHARE * sizes.sum()))


def _drop_singles(codes: np.ndarray) -> np.ndarray:
    """The codes, -1 where no other record has the same."""
    return np.where(pd.Series(codes).duplicated(keep=False).to_numpy(), codes, -1)


def join_families(families: list[ColumnFamilies], groups: np.ndarray | None = None) -> np.ndarray | None:
    """int64 [N]: equal for records of one family in any column, or of one of the `groups`, [N]; None without families.

    A column that would chain families into too large ones is left out; None where families chain groups so.
    """
    columns: list[np.ndarray] = []
    for column in families:
        if (column.codes >= 0).any() and not _alike_by_nature(join_codes([*columns, column.codes])):
            columns.append(column.codes)
    if groups is None or not columns:
        return join_codes(columns) if columns else None
    group_codes = pd.factorize(groups)[0]
    joined = join_codes([*columns, group_codes])
    largest = np.bincount(joined).max()
    return None if largest > max(np.bincount(group_codes).max(), _LARGEST_UNION * len(joined)) else joined


def _family_sentence(table: Table, column: ColumnFamilies, split: str | None) -> str:
    """How many are near-copies, an example, what follows, and how to decline."""
    members = np.flatnonzero(column.codes >= 0)
    count = len(np.unique(column.codes[members]))
    spec = next(spec for spec in table.schema.inputs if spec.name == column.column)
    first, second = example_pair(column)
    example = shorten(format_value(table.value(int(first), spec)), 40)
    splits = "every split" if split is None else f"every split but the stated one by '{split}'"
    return (
        f"! {counted(len(members), column.noun)} of '{column.column}' are near-copies"
        f" ({count} {'family' if count == 1 else 'families'}, such as rows {table.rows[first]} and"
        f" {table.rows[second]}, '{example}'), kept on one side of {splits}; --set near_copies=false declines."
    )


def example_pair(column: ColumnFamilies) -> np.ndarray:
    """int64 [2]: two records of a family, with different values where there are such."""
    members = np.flatnonzero(column.codes >= 0)
    groups = pd.Series(column.exact[members]).groupby(column.codes[members])
    family = column.codes[members] == groups.nunique().idxmax()
    exact = column.exact[members[family]]
    second = int(np.flatnonzero(exact != exact[0])[0]) if (exact != exact[0]).any() else 1
    return members[family][[0, second]]


def source_sentences(table: Table) -> dict[str, str]:
    """By name, a sentence on each category column whose values repeat as those of a source do (a writer, a camera).

    Only beside texts and media, whose style a source has.
    """
    if table.schema.group is not None or not any(spec.modality in (*MEDIA, "text") for spec in table.schema.inputs):
        return {}
    sentences = {}
    for column in table.schema.columns:
        if column.kind != "category":
            continue
        counts = pd.Series(table.cells(column.name, "category")).value_counts()
        if len(counts) >= _FEWEST_SOURCES and counts.median() >= _FEWEST_OF_SOURCE:
            sentences[column.name] = (
                f"Column '{column.name}' has {len(counts)} values of about {counts.median():.0f} records each; if"
                f" records of one value share a source, a score that holds sources apart takes --group {column.name}."
            )
    return sentences
