"""Text as the mean of its words' vectors, learned from the training texts without labels or read from a file."""

from collections.abc import Iterable
from pathlib import Path

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from sensorium.encoders import word2vec
from sensorium.encoders.pooling import summarise
from sensorium.encoders.text_processor import TextAugmentation
from sensorium.encoders.word_processor import UNKNOWN, WordProcessor, words_of
from sensorium.errors import UserError
from sensorium.features import Features


class WordVectorsConfig(BaseModel, frozen=True, extra="forbid"):
    """Where the vectors come from, and whether they are trained further.

    model:      a file of vectors in word2vec's format, text or binary; None learns them from the training texts.
    words:      the most words that are kept: the most frequent, which a file names first.
    width:      of a vector; a file has its own.
    window, at_least, epochs: of learning from texts: words to either side that are context, how often a word has to be
                seen, how many times the texts are read.
    tune:       the vectors are trained with the rest of the model.
    max_words:  a longer text is cut.
    vocabulary: how many words there are; `build` fills it.
    augmentation: words are left out in training; None for none."""

    model: str | None = None
    words: int = Field(200_000, ge=1)
    width: int = Field(100, ge=1)
    window: int = Field(5, ge=1)
    at_least: int = Field(2, ge=1)
    epochs: int = Field(20, ge=1)
    tune: bool = False
    max_words: int = Field(1024, ge=1)
    vocabulary: int | None = Field(None, ge=1)
    augmentation: TextAugmentation | None = TextAugmentation()


class WordVectors(nn.Module):
    """The vector of each word; pooled is their mean. Words that are not known are left out.

    A text of which no word is known is one learned vector. Raises UserError when the config does not say how many words
    there are, which `build` does."""

    Config = WordVectorsConfig
    Processor = WordProcessor
    modality = "text"

    def __init__(self, config: WordVectorsConfig, processor: WordProcessor | None = None, summary_only: bool = False):
        super().__init__()
        if config.vocabulary is None:
            raise UserError("Word vectors need the option 'vocabulary'; build the encoder, which finds the words.")
        self.config, self.processor, self.summary_only = config, processor, summary_only
        self.dim = config.width
        vectors = torch.zeros(config.vocabulary, config.width)
        if config.tune:
            self.vectors = nn.Parameter(vectors)
        else:
            self.register_buffer("vectors", vectors)
        self.unknown = nn.Parameter(torch.zeros(config.width))

    @property
    def pretrained(self) -> bool:
        """Whether its vectors were learned elsewhere."""
        return self.config.model is not None

    @classmethod
    def build(
        cls, config: WordVectorsConfig, values: Iterable[str], facts: dict[str, float], summary_only: bool = False
    ) -> "WordVectors":
        """An encoder for training: its vectors are read from the file, or else learned from the texts `values`. Raises
        UserError when gensim is missing, the file cannot be read, or the texts have no word often enough."""
        if config.model is not None:
            learned = word2vec.read(Path(config.model), config.words)
        else:
            texts = [[word.lower() for word in words_of(text)] for text in values]
            seed = int(torch.randint(2**31, ()))
            learned = word2vec.train(texts, config.width, config.window, config.at_least, config.epochs, seed)
        words, vectors = learned.words[: config.words], torch.from_numpy(learned.vectors[: config.words])
        processor = WordProcessor(words, config.max_words, config.augmentation)
        sizes = {"vocabulary": len(words), "width": vectors.shape[1]}
        encoder = cls(config.model_copy(update=sizes), processor, summary_only)
        with torch.no_grad():
            encoder.vectors.copy_(vectors)
            encoder.unknown.copy_(vectors.mean(dim=0))
        return encoder

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        """`tokens` int64 [B, L] and `mask` bool [B, L] -> Features of T = L words (one token when summary_only)."""
        tokens, mask = inputs["tokens"], inputs["mask"]
        known_vectors = nn.functional.embedding((tokens - 1).clamp(min=0), self.vectors)  # [B, L, D]
        vectors = torch.where((tokens == UNKNOWN)[:, :, None], self.unknown, known_vectors)
        return summarise(vectors, mask, "mean", self.summary_only)
