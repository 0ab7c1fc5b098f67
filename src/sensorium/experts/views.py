"""What experts read of an input, as a matrix: its features, its words, a text as a whole, or the cells of columns."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from sensorium.data.records import Processor, Records
from sensorium.encoders.table_processor import TableProcessor
from sensorium.features import Features, to_numpy

WORDS, NAMES, CELLS, FEATURES = "words", "names", "cells", "features"
MOST_WORDS = 50_000
TEXTS_FOR_PAIRS = 2_000  # of fewer texts pairs of words say little that the words do not
MOST_LETTERS = 20_000  # of a text
# Runs of letters and digits; scripts without spaces letter by letter.
WORD = re.compile(r"[^\W\u3040-\u30ff\u3400-\u9fff]+|[\u3040-\u30ff\u3400-\u9fff]")


class Source(NamedTuple):
    """An input, and what is read of it: FEATURES, WORDS, CELLS, or of texts that come again and again, as the names of
    shops do, NAMES, which of them it is."""

    input: str
    view: str

    @property
    def name(self) -> str:
        """The name under which a batch has it: the input's own for features, else `input/view`."""
        return self.input if self.view == FEATURES else f"{self.input}/{self.view}"


def words_of(text: str) -> list[str]:
    """The words of a text, and its pairs of words, in lower case."""
    words = WORD.findall(str(text)[:MOST_LETTERS].lower())
    return words + [f"{first} {second}" for first, second in pairwise(words)]


class WordsProcessor:
    """A text → `words` int64 [L], the numbers of those of its words and pairs of words that training had; at least one
    entry, −1 where it has none of them."""

    decoding: dict[str, Any] = {}  # noqa: RUF012 (a constant of the class)

    def __init__(self, vocabulary: list[str]):
        self.vocabulary = vocabulary
        self._numbers = {word: number for number, word in enumerate(vocabulary)}

    @classmethod
    def build(cls, texts: Iterable[str], most: int = MOST_WORDS) -> "WordsProcessor":
        """For the `most` words that the most `texts` have, of many texts also pairs of words; ties in the order of the
        alphabet."""
        counts: Counter[str] = Counter()
        total = 0
        for text in texts:
            counts.update(set(words_of(text)))
            total += 1
        if total < TEXTS_FOR_PAIRS:
            counts = Counter({word: count for word, count in counts.items() if " " not in word})
        return cls(sorted(word for word, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:most]))

    def __call__(self, value: str, augment: bool = False) -> dict[str, Tensor]:
        """As the class says."""
        numbers = [self._numbers[word] for word in words_of(value) if word in self._numbers]
        return {"words": torch.tensor(numbers or [-1], dtype=torch.long)}

    def pad(self, items: list[dict[str, Tensor] | None]) -> dict[str, Tensor]:
        """`words` int64 [B, L], −1 where there is none, and `mask`, bool [B, 1], which texts are there."""
        longest = max([1, *(len(item["words"]) for item in items if item is not None)])
        words = torch.full((len(items), longest), -1, dtype=torch.long)
        for row, item in enumerate(items):
            if item is not None:
                words[row, : len(item["words"])] = item["words"]
        return {"words": words, "mask": torch.tensor([[item is not None] for item in items])}

    def save(self, folder: Path) -> None:
        """Writes vocabulary.json into `folder`."""
        (folder / "vocabulary.json").write_text(json.dumps(self.vocabulary, ensure_ascii=False), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> "WordsProcessor":
        """The processor that `save` wrote into `folder`."""
        return cls(json.loads((folder / "vocabulary.json").read_text("utf-8")))


VIEW_PROCESSORS = {WORDS: WordsProcessor, NAMES: TableProcessor, CELLS: TableProcessor}


def with_views(records: Records, processors: Mapping[str, Processor]) -> Records:
    """`records` with views beside their inputs: by name, as `input/words`, what makes their tensors."""
    for view in VIEW_PROCESSORS:
        of_view = {name.removesuffix(f"/{view}"): processor
                   for name, processor in processors.items() if name.endswith(f"/{view}")}  # fmt: skip
        if of_view:
            records = records.viewed(view, Records(records.table, of_view, seed=records.seed))
    return records


def read_view(tensors: dict[str, Tensor]) -> Features:
    """The tensors of a view as features of one token, for whoever takes inputs away: numbers of words [B, L], or those
    and the categories of columns [B, N + C], NaN where absent."""
    present = tensors["mask"].any(dim=1)
    if "words" in tensors:
        return Features.one(tensors["words"].float(), present)
    cells = torch.cat([tensors["number"], tensors["category"].float()], dim=1)
    return Features.one(torch.where(tensors["mask"], cells, torch.nan), present)


class Columns(NamedTuple):
    """What a source says of N records: `values`, float32 [N, D], or of words their counts, sparse [N, V]; `present`,
    bool [N]."""

    values: np.ndarray | csr_array
    present: np.ndarray

    def take(self, rows: np.ndarray) -> "Columns":
        """The records `rows`, int64 [M]."""
        return Columns(self.values[rows], self.present[rows])


def columns_of(source: Source, features: Features, vocabulary: int = 0) -> Columns:
    """The features of a batch under `source.name` as columns; `vocabulary`: how many words there are."""
    present, values = to_numpy(features.present), to_numpy(features.pooled.detach())
    if source.view != WORDS:
        return Columns(values, present)
    rows, places = np.nonzero((values >= 0) & present[:, None])
    numbers = values[rows, places].astype(np.int64)
    counts = csr_array((np.ones(len(rows)), (rows, numbers)), shape=(len(values), vocabulary))
    counts.sum_duplicates()
    return Columns(counts, present)


def word_rarity(columns: Columns) -> np.ndarray:
    """float64 [V]: how rare each word is in these records; 0 of a word of no record, which changes no row's length."""
    records = np.bincount(columns.values.indices, minlength=columns.values.shape[1])
    return np.where(records > 0, np.log((1 + columns.present.sum()) / (1 + records)) + 1, 0.0)


def weigh_words(counts: csr_array, rarity: np.ndarray) -> csr_array:
    """TF-IDF: 1 + log of how often a word stands in a text, times its rarity, rows of length one."""
    weighted = csr_array((counts.data, counts.indices, counts.indptr), shape=counts.shape, dtype=np.float64)
    weighted.data = (1 + np.log(weighted.data)) * rarity[weighted.indices]
    length = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)))
    weighted.data /= np.repeat(np.where(length > 0, length, 1.0), np.diff(weighted.indptr))
    return weighted
