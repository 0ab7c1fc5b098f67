"""Text from scratch, left to right: a transformer in which no token sees a later one."""

from collections.abc import Iterable

from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from sensorium.encoders.pooling import summarise
from sensorium.encoders.text_processor import TextAugmentation, TextProcessor, check_vocabulary
from sensorium.features import Features
from sensorium.nn.attention import check_config_heads
from sensorium.nn.transformer import TokenTransformer


class TextCausalConfig(BaseModel, frozen=True, extra="forbid"):
    """A causal text transformer's shape.

    vocabulary:   tokens known, of which 260 are bytes and marks; None lets `build` choose it from the training texts.
    width, depth, heads: of the transformer; `heads` divides `width`.
    max_tokens:   a longer text is cut.
    augmentation: token dropout in training; None for none."""

    vocabulary: int | None = Field(None, ge=260)
    width: int = Field(128, ge=1)
    depth: int = Field(2, ge=1)
    heads: int = Field(4, ge=1)
    max_tokens: int = Field(256, ge=4)
    dropout: float = Field(0.1, ge=0, lt=1)
    augmentation: TextAugmentation | None = TextAugmentation()

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "TextCausalConfig":
        check_config_heads(self.width, self.heads)
        return self


class TextCausal(nn.Module):
    """A decoder-only transformer (Radford et al. 2018, GPT; pre-norm as in GPT-2) without word prediction.

    Pooled is the last token, the end mark, the only one that has seen the whole text. Raises UserError when the
    config's vocabulary is None (only `build` chooses one) or smaller than the processor's."""

    Config = TextCausalConfig
    Processor = TextProcessor
    modality = "text"
    pretrained = False

    def __init__(self, config: TextCausalConfig, processor: TextProcessor | None = None, summary_only: bool = False):
        super().__init__()
        check_vocabulary(config.vocabulary, processor)
        self.config, self.processor, self.summary_only = config, processor, summary_only
        self.dim = config.width
        self.transformer = TokenTransformer(
            config.vocabulary, config.max_tokens, config.width, config.depth, config.heads, config.dropout, causal=True
        )

    @classmethod
    def build(
        cls, config: TextCausalConfig, values: Iterable[str], facts: dict[str, float], summary_only: bool = False
    ) -> "TextCausal":
        """An encoder for training: its tokenizer is learned from the texts `values`; the config holds its true size."""
        processor = TextProcessor.train(values, config.max_tokens, config.vocabulary, config.augmentation)
        return cls(config.model_copy(update={"vocabulary": processor.vocabulary}), processor, summary_only)

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        """`tokens` int64 [B, L] and `mask` bool [B, L] -> Features of T = L tokens (one when summary_only)."""
        tokens, mask = inputs["tokens"], inputs["mask"]
        return summarise(self.transformer(tokens, mask), mask, "last", self.summary_only)
