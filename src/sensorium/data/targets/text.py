"""A target that is a text, which a model writes; a record may have several, each of them right."""

import hashlib
import json
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sensorium.data.columns.infer import Guess, cell_types, is_sentences
from sensorium.data.columns.parse import CellFormat, WrongCell, convert_cells, is_missing, is_words, to_label
from sensorium.data.schema import TargetSpec
from sensorium.data.targets.base import RecordCells, TargetColumn
from sensorium.data.targets.tokens import Tokens


class TextTarget:
    """Texts: cells are lists of references, tensors `tokens`, `real` and `weight` as TextColumn gives them. normalises:
    something may be done to them before they are compared, see metrics.kinds.text.NORMALISERS.
    """

    scored_by = "loss"
    default_head = "writer"
    single_label = False
    repeats_inputs = False
    takes_text = False
    answers_questions = False
    distilled_by = None
    normalises = True

    @staticmethod
    def infer(values: np.ndarray) -> Guess | None:
        """Sentences, mostly different."""
        present = values[~is_missing(values)]
        if cell_types(present) != {str} or not is_sentences(present):
            return None
        return Guess("text", f"{len(pd.unique(present))} different sentences in {len(present)} values")

    @staticmethod
    def convert(values: np.ndarray) -> tuple[np.ndarray, list[WrongCell]]:
        """Lists of texts."""
        return convert_cells(values, CellFormat(parse_references, frozenset()))

    @staticmethod
    def label_counts(cells: np.ndarray) -> dict[str, float]:
        """A text has no labels."""
        return {}

    @staticmethod
    def constant(cells: np.ndarray) -> str | None:
        """The only text there is."""
        texts = {text for cell in cells[~is_missing(cells)] for text in cell}
        return f"the text {min(texts)!r:.60}" if len(texts) == 1 else None

    @staticmethod
    def examples(cells: np.ndarray) -> list[str]:
        """All references, which a head learns its tokenizer from."""
        return [text for cell in cells if cell is not None for text in cell]

    @staticmethod
    def column(cells: np.ndarray, labels: list[str], processor: Tokens | None = None) -> TargetColumn:
        """The lazy column of tokens; without a processor `ids` int64 [B], a hash of each record's texts."""
        return TextColumn(cells, processor)

    @staticmethod
    def statistics(column: TargetColumn, count: int, labels: list[str], balanced: bool) -> dict[str, Any]:
        """Nothing: a head learns its tokenizer from the texts themselves."""
        return {}

    @staticmethod
    def fit(spec: TargetSpec, records: RecordCells, unscored: RecordCells, inherit: bool) -> TargetSpec:
        """The commonest text of the records that are not scored."""
        cells = unscored.cells(spec.name, spec.kind)
        counts = Counter(text for cell in cells[~is_missing(cells)] for text in cell)
        commonest = min(counts, key=lambda text: (-counts[text], text), default=None)
        return spec.model_copy(update={"commonest": commonest})


class TextColumn:
    """Texts of N records, made tokens when a batch asks for them; `real` is False beyond each text's end.

    With a processor: `mask` bool [B], `tokens` int64 [B, A, L], each text's own tokens, then `end`, `real` bool
    [B, A, L], `weight` float32 [B, A], 1 / number of a record's texts, 0 for none. L is the longest's of the batch.
    """

    decodes = False

    def __init__(self, cells: np.ndarray, processor: Tokens | None):
        self.cells, self.processor = cells, processor

    def __call__(self, rows: np.ndarray) -> dict[str, Tensor]:
        """As TargetColumn says."""
        references = [self.cells[row] or [] for row in rows]
        mask = torch.tensor([len(texts) > 0 for texts in references], dtype=torch.bool)
        if self.processor is None:
            return {"mask": mask, "ids": torch.tensor([hash_texts(texts) for texts in references], dtype=torch.int64)}
        encoded = [[self.processor(text) for text in texts] for texts in references]
        lengths = [[len(tokens) for tokens in texts] for texts in encoded]
        most = max([1, *map(len, lengths)])
        longest = max([1, *(length for of_record in lengths for length in of_record)])
        tokens = np.full((len(rows), most, longest), self.processor.pad, dtype=np.int64)
        weight = np.zeros((len(rows), most), dtype=np.float32)
        real = np.zeros((len(rows), most, longest), dtype=bool)
        for row, texts in enumerate(encoded):
            weight[row, : len(texts)] = 1 / max(1, len(texts))
            for position, text in enumerate(texts):
                tokens[row, position, : len(text)] = text
                real[row, position, : len(text)] = True
        return {"mask": mask} | {
            name: torch.from_numpy(array) for name, array in (("tokens", tokens), ("real", real), ("weight", weight))
        }


def hash_texts(texts: list[str]) -> int:
    """63 bits that identify a list of texts; 0 of none."""
    digest = hashlib.blake2b(json.dumps(texts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1 if texts else 0


def parse_references(value: Any) -> list[str]:
    """The texts of a cell: a string, a list of strings, or such a list as JSON that begins with `["`. Raises ValueError
    for an empty one."""
    if isinstance(value, str) and value.lstrip().startswith('["'):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError('it begins as a list of texts, ["...", and is none') from None
    texts = list(value) if not isinstance(value, str) and is_words(value) else [to_label(value)]
    texts = [text.strip() for text in texts]
    if not texts or not all(texts):
        raise ValueError("a text in it is empty")
    return texts
