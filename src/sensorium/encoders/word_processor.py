"""From a text to the numbers of those of its words that are in a list."""

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sensorium.encoders.padding import column, pad_sequences
from sensorium.encoders.processor_files import read_settings, write_settings
from sensorium.encoders.text_processor import TextAugmentation

UNKNOWN = 0  # the token of a text without any known word
CHARACTERS_A_WORD = 100
# Chinese and Japanese are written without spaces: there, a character counts for a word.
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|(?:(?![\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])[\w'’])+")


def words_of(text: str) -> list[str]:
    """The words of a text in order (NFKC, as they are spelled), without punctuation and quotation marks."""
    words = (word.strip("'’_") for word in WORD.findall(unicodedata.normalize("NFKC", text)))
    return [word for word in words if word]


class WordProcessor:
    """A text -> `tokens` int64 [L], the number of each known word in `words`, from 1; [UNKNOWN] when none is known. A
    word is looked up as it is spelled, then in lower case. Words that are not known are left out. Only the first
    `max_words` are read. augmentation: in training, a word is left out with its probability."""

    decoding: dict[str, Any] = {}  # noqa: RUF012 (a constant of the class)

    def __init__(self, words: list[str], max_words: int, augmentation: TextAugmentation | None):
        self.words, self.max_words, self.augmentation = words, max_words, augmentation
        self.numbers = {word: number for number, word in enumerate(words, start=1)}

    def __call__(self, value: str, augment: bool = False) -> dict[str, Tensor]:
        """A text -> {"tokens": int64 [L]}. With `augment`, words are dropped by torch's global random state."""
        words = words_of(value[: self.max_words * CHARACTERS_A_WORD])[: self.max_words]
        numbers = [self.numbers.get(word) or self.numbers.get(word.lower()) for word in words]
        tokens = torch.tensor([number for number in numbers if number], dtype=torch.int64)  # [L]
        if augment and self.augmentation is not None:
            tokens = tokens[torch.rand(len(tokens)) >= self.augmentation.rate]
        return {"tokens": tokens if len(tokens) else torch.tensor([UNKNOWN])}

    def pad(self, items: list[dict[str, Tensor] | None]) -> dict[str, Tensor]:
        """A batch of texts, None where one is absent -> `tokens` int64 [B, L], `mask` bool [B, L], L the longest."""
        tokens, mask = pad_sequences(column(items, "tokens"), dtype=torch.int64, fill=UNKNOWN)
        return {"tokens": tokens, "mask": mask}

    def save(self, folder: Path) -> None:
        """Writes words.json and processor.json into `folder`."""
        write_settings(folder, {"max_words": self.max_words}, self.augmentation)
        (Path(folder) / "words.json").write_text(json.dumps(self.words, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "WordProcessor":
        """The processor that `save` wrote into `folder`."""
        words = json.loads((Path(folder) / "words.json").read_text(encoding="utf-8"))
        return cls(words, **read_settings(folder, TextAugmentation))
