"""Text from scratch, word by word: a tokenizer and recurrent layers, both learned from the training data."""

from collections.abc import Iterable

from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from sensorium.encoders.pooling import as_features
from sensorium.encoders.text_processor import TextAugmentation, TextProcessor, check_vocabulary
from sensorium.features import Features
from sensorium.nn.recurrent import Cell, Recurrent, check_two_directions


class TextRecurrentConfig(BaseModel, frozen=True, extra="forbid"):
    """A recurrent text encoder's shape.

    vocabulary:    tokens known, of which 260 are bytes and marks; None lets `build` choose it from the training texts.
    cell:          gru or lstm.
    bidirectional: read the text from both ends; each direction has half of the width.
    width, depth:  of the tokens, and how many layers.
    max_tokens:    a longer text is cut.
    augmentation:  token dropout in training; None for none."""

    vocabulary: int | None = Field(None, ge=260)
    cell: Cell = "gru"
    bidirectional: bool = True
    width: int = Field(128, ge=2)
    depth: int = Field(1, ge=1)
    max_tokens: int = Field(256, ge=4)
    dropout: float = Field(0.1, ge=0, lt=1)
    augmentation: TextAugmentation | None = TextAugmentation()

    @model_validator(mode="after")
    def _two_halves(self) -> "TextRecurrentConfig":
        check_two_directions(self.width, self.bidirectional)
        return self


class TextRecurrent(nn.Module):
    """Token embeddings, then GRU or LSTM layers; pooled is the last state of each direction.

    Raises UserError when the config's vocabulary is None (only `build` chooses one) or smaller than the processor's."""

    Config = TextRecurrentConfig
    Processor = TextProcessor
    modality = "text"
    pretrained = False

    def __init__(self, config: TextRecurrentConfig, processor: TextProcessor | None = None, summary_only: bool = False):
        super().__init__()
        check_vocabulary(config.vocabulary, processor)
        self.config, self.processor, self.summary_only = config, processor, summary_only
        self.dim = config.width
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.recurrent = Recurrent(
            config.width, config.width, config.depth, config.cell, config.bidirectional, config.dropout
        )

    @classmethod
    def build(
        cls, config: TextRecurrentConfig, values: Iterable[str], facts: dict[str, float], summary_only: bool = False
    ) -> "TextRecurrent":
        """An encoder for training: its tokenizer is learned from the texts `values`; the config holds its true size."""
        processor = TextProcessor.train(values, config.max_tokens, config.vocabulary, config.augmentation)
        return cls(config.model_copy(update={"vocabulary": processor.vocabulary}), processor, summary_only)

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        """`tokens` int64 [B, L] and `mask` bool [B, L] -> Features of T = L tokens (one when summary_only)."""
        mask = inputs["mask"]
        tokens, pooled = self.recurrent(self.dropout(self.embedding(inputs["tokens"])), mask)
        return as_features(tokens, mask, pooled, self.summary_only)
