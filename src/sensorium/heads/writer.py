"""A text, written by a small decoder that is learned from scratch."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional as F

from sensorium.data.targets.tokens import Tokens
from sensorium.errors import UserError
from sensorium.features import Features
from sensorium.generation.autoregressive import SpecialTokens, Stream
from sensorium.generation.settings import Generation
from sensorium.heads.written import GREEDY, decode_text, predict_text, shifted, text_loss
from sensorium.nn.packing import Packing
from sensorium.nn.post_norm import Asked, DecoderState
from sensorium.nn.precision import wide
from sensorium.nn.residual import Crossing, FeedForward, KeysOf, SelfAttention


class WriterConfig(BaseModel, frozen=True, extra="forbid"):
    """layers, heads, ratio, dropout: of the decoder, which is as wide as the fusion. smoothing: of labels in training,
    the share of each token's probability that is spread over all. aligned: where a text is written of a sound alone,
    how much it counts that the sound's tokens learn which token of the text each says (objectives/aligned_text.py): .3
    beside .7, as Watanabe et al. 2017 have it, is .43. 0 for texts that are no transcripts.

    vocabulary: the most tokens that the tokenizer may have; None lets the training texts decide. context: the most
    tokens of a text, its end included; None: twice those of the longest training text, from 32 to 256.
    """

    layers: int = Field(3, gt=0)
    heads: int = Field(4, gt=0)
    ratio: int = Field(4, gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)
    smoothing: float = Field(0.1, ge=0, lt=1)
    aligned: float = Field(0.5, ge=0)
    vocabulary: int | None = Field(None, ge=2)
    context: int | None = Field(None, ge=2)


FEWEST_TOKENS, MOST_TOKENS = 32, 256


class WriterBlock(nn.Module):
    """Attention to the earlier tokens of a text, to the fused tokens, and an MLP, each on a normalised copy."""

    def __init__(self, dim: int, config: WriterConfig):
        super().__init__()
        self.attention = SelfAttention(dim, config.heads, config.dropout, causal=True)
        self.crossing = Crossing(dim, config.heads, config.dropout)
        self.mlp = FeedForward(dim, config.ratio, config.dropout)


class Writer(nn.Module):
    """A decoder-only transformer with pre-norm blocks (Vaswani et al. 2017; Xiong et al. 2020, arXiv:2002.04745) whose
    tokens attend to those of the fusion. The embeddings of tokens are the output matrix as well (Press and Wolf 2017,
    arXiv:1608.05859). In a row without any input nothing is attended to, which leaves the prior of the training texts.
    """

    Config = WriterConfig
    Processor = Tokens
    kind = "text"
    writes = True

    def __init__(self, config: WriterConfig, dim: int, processor: Tokens):
        super().__init__()
        self.config, self.processor, self.context = config, processor, processor.max_tokens
        self.special = SpecialTokens(processor.end, processor.pad, (processor.start,))
        self.words = nn.Embedding(processor.vocabulary, dim)
        self.places = nn.Embedding(self.context, dim)
        self.dropout = nn.Dropout(config.dropout)
        self.keys = KeysOf(dim, config.heads, config.layers)
        self.blocks = nn.ModuleList(WriterBlock(dim, config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(dim)
        # Logits of about unit size from the first step on: with smaller ones what is fine in a picture is learned last.
        for embedding in (self.words, self.places):
            nn.init.normal_(embedding.weight, std=dim**-0.5)

    @classmethod
    def build(cls, config: WriterConfig, dim: int, texts: Iterable[str]) -> "Writer":
        """The untrained head, its tokenizer learned from the training `texts`. Warns of those that are cut."""
        texts = list(texts)
        processor = Tokens.train(texts, config.context or MOST_TOKENS, config.vocabulary)
        if config.context is None:
            longest = max((len(processor(text)) for text in texts), default=1)
            processor.max_tokens = min(MOST_TOKENS, max(FEWEST_TOKENS, 2 * longest))
        processor.warn_of_cut(texts)
        return cls(config, dim, processor)

    @staticmethod
    def usual_fusion(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The fusion where nobody names one, and its settings: one that gives the tokens of all inputs."""
        return "transformer", {}

    def logits(self, fused: Features, row: Tensor, tokens: Tensor, real: Tensor) -> Tensor:
        """float32 [M, V]: the logits of each real token of N texts, given the earlier ones of its text.

        row: int64 [N], the row of `fused` of each text. tokens: int64 [N, L], real: bool [N, L], a text's first ones.
        """
        packing = Packing.of(real)
        places = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        x = self._embed(packing.pack(shifted(tokens, self.processor.start)), packing.pack(places))  # [M, D]
        for block, keys in zip(self.blocks, self._keys(fused), strict=True):
            x = block.mlp(block.crossing(block.attention(x, packing), packing, keys.take(row)))
        return self._logits(x)

    def loss(self, fused: Features, target: dict[str, Tensor]) -> Tensor:
        """As heads.written.text_loss gives it."""
        smoothing = self.config.smoothing if self.training else 0.0
        return text_loss(partial(self.logits, fused), target, smoothing)

    def begin(self, fused: Features, prompt: Tensor | None = None) -> tuple[Tensor, DecoderState]:
        """As Decoder says: the keys and values of the fused tokens are made once, for all steps and beams."""
        state = DecoderState([Asked(self._keys(fused), fused.present)], [None] * len(self.blocks))
        first = torch.full((len(fused.mask), 1), self.processor.start, device=fused.mask.device)
        tokens = first if prompt is None else torch.cat([first, prompt], dim=1)
        for position in range(tokens.shape[1]):
            logits = self.step(tokens[:, position], state)
        return logits, state

    def step(self, tokens: Tensor, state: DecoderState) -> Tensor:
        """As Decoder says. Raises UserError beyond the context."""
        if state.length >= self.context:
            raise UserError(f"The head writes at most {self.context} tokens; ask for fewer, its prompt included.")
        (asked,) = state.contexts
        # The fused tokens see the beams of a sample as the tokens of one row: one product of matrices in place of many.
        packing = Packing(len(asked.present), state.beams)
        x = self._embed(tokens, torch.full_like(tokens, state.length))  # [N, D]
        for i, block in enumerate(self.blocks):
            x, state.past[i] = block.attention.step(x, state.past[i])
            x = block.mlp(block.crossing(x, packing, asked.keys[i]))
        return self._logits(x)

    def predict(
        self, fused: Features, generation: Generation = GREEDY, keys: Sequence[str] = (), stream: Stream | None = None
    ) -> dict[str, Tensor]:
        """As heads.written.predict_text gives it."""
        return predict_text(self, self.processor, fused, generation, keys, stream)

    def decode(self, prediction: dict[str, Tensor], labels: list[str]) -> list[dict[str, Any]]:
        """A row's text as `decision` and its `probability`."""
        return decode_text(prediction, self.processor)

    def calibrate(self, fused: Features, target: dict[str, Tensor]) -> None:
        """Nothing is chosen after training."""

    def _keys(self, fused: Features) -> list:
        packing = Packing.of(fused.mask)
        return self.keys(packing.pack(fused.tokens), packing)

    def _embed(self, tokens: Tensor, places: Tensor) -> Tensor:
        return self.dropout(self.words(tokens) + self.places(places))

    def _logits(self, x: Tensor) -> Tensor:
        return wide(F.linear(self.norm(x), self.words.weight))
