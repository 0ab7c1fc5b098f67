"""The text tower of CLIP and SigLIP: a transformer that takes published weights and computes nothing on padding."""

import json
from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import BaseModel, Field, model_validator
from tokenizers import Tokenizer
from torch import Tensor, nn

from sensorium.encoders.text_processor import END, TextAugmentation, TextProcessor, check_context, check_vocabulary
from sensorium.errors import UserError
from sensorium.features import Features
from sensorium.nn.activation import Activation
from sensorium.nn.attention import check_config_heads
from sensorium.nn.packing import Packing
from sensorium.nn.tower import Tower

CONTEXT, MOST_CONTEXT = 77, 256  # where none is stated: that of CLIP, up to the maximum for longer training texts
ClipPooling = Literal["end", "largest", "last", "first", "mean"]


class ClipTextConfig(BaseModel, frozen=True, extra="forbid"):
    """A text tower's shape.

    vocabulary: tokens known, of which 260 are bytes and marks in a tokenizer of ours; None lets `build` choose it from
                the training texts.
    context:    positions learned; a longer text is cut. None lets `build` take the length of the longest training text,
                but at least 77, for later texts may be longer, and at most 256.
    width, depth, heads, ratio: of the transformer; `heads` divides `width`, the MLP is `ratio` times as wide.
    activation: that of the weights: OpenAI's were trained with quick_gelu, most later ones with gelu.
    causal:     no token sees a later one, as in CLIP; SigLIP's see all.
    pooling:    the summary is the first token `end_token` ("end"), the token with the largest number ("largest", the
                rule of OpenAI's weights, where that is the end token), the last, the first, or the mean of the tokens.
    end_token:  its number, for the pooling "end"; None takes the tokenizer's.
    pads:       None computes nothing on padding. A number is the token that fills a text up to `context` and that all
                attend to, because SigLIP was trained so; the last token is then one of padding.
    eps:        of every LayerNorm.
    augmentation: token dropout in training; None for none."""

    vocabulary: int | None = Field(None, ge=1)
    context: int | None = Field(CONTEXT, ge=4)
    width: int = Field(128, ge=1)
    depth: int = Field(4, ge=1)
    heads: int = Field(2, ge=1)
    ratio: float = Field(4.0, gt=0)
    activation: Activation = "gelu"
    causal: bool = True
    pooling: ClipPooling = "end"
    end_token: int | None = Field(None, ge=0)
    pads: int | None = Field(None, ge=0)
    eps: float = Field(1e-5, gt=0)
    augmentation: TextAugmentation | None = None

    @model_validator(mode="after")
    def _fits(self) -> "ClipTextConfig":
        check_config_heads(self.width, self.heads)
        for name, token in (("end_token", self.end_token), ("pads", self.pads)):
            if token is not None and self.vocabulary is not None and token >= self.vocabulary:
                raise ValueError(f"{name} ({token}) must be less than vocabulary ({self.vocabulary})")
        return self

    @property
    def hidden(self) -> int:
        """The width of the MLPs."""
        return round(self.width * self.ratio)


class ClipText(nn.Module):
    """Token and position embeddings, then a pre-norm transformer (Radford et al. 2021, arXiv:2103.00020).

    The tokens of all rows are laid end to end for all but attention. With `summary_only` the last block is computed for
    the summary's token alone, where the pooling is one token. Raises UserError when the config's vocabulary is None
    or the context None (only `build` chooses them), smaller than the processor's, or when its end token is another."""

    Config = ClipTextConfig
    Processor = TextProcessor
    modality = "text"
    pretrained = False

    def __init__(self, config: ClipTextConfig, processor: TextProcessor | None = None, summary_only: bool = False):
        super().__init__()
        check_vocabulary(config.vocabulary, processor)
        check_context(config.context, processor)
        self.config = with_end_token(config, processor)
        self.processor, self.summary_only, self.dim = processor, summary_only, config.width
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.position = nn.Parameter(torch.empty(config.context, config.width))
        shape = (config.hidden, config.activation, config.eps, config.causal)
        self.tower = Tower(config.width, config.depth, config.heads, *shape)
        nn.init.normal_(self.embedding.weight, std=0.02)
        nn.init.normal_(self.position, std=0.01)

    @classmethod
    def build(
        cls, config: ClipTextConfig, values: Iterable[str], facts: dict[str, float], summary_only: bool = False
    ) -> "ClipText":
        """An encoder for training: its tokenizer is learned from the texts `values`, which are read again where the
        context is None; the config holds the true sizes."""
        processor = TextProcessor.train(values, config.context or MOST_CONTEXT, config.vocabulary, config.augmentation)
        processor.tokenizer = with_end_last(processor.tokenizer)
        if config.context is None:
            processor.cut_to_longest(values, shortest=CONTEXT)
        sizes = {"vocabulary": processor.vocabulary, "context": processor.max_tokens, "end_token": None}
        return cls(config.model_copy(update=sizes), processor, summary_only)

    def forward(self, inputs: dict[str, Tensor]) -> Features:
        """`tokens` int64 [B, L] and `mask` bool [B, L], the real ones first -> Features of T = L tokens, or of T =
        context where the tower attends to padding (one when summary_only)."""
        ids, mask = inputs["tokens"], inputs["mask"]
        present, real = mask.any(dim=1), mask
        # A tower that attends to padding takes all positions for real.
        if self.config.pads is not None:
            ids, mask, real = self._fill_context(ids, mask)
        packing = Packing.of(mask)
        x = self.embedding(packing.pack(ids)) + packing.pack(self.position[: ids.shape[1]].expand(len(ids), -1, -1))
        if self.summary_only and self.config.pooling != "mean":
            return Features.one(self.tower(x, packing, self._summary_position(ids, mask)), present)
        tokens = packing.pad(self.tower(x, packing))  # [B, T, D]
        pooled = self._pool(tokens, ids, mask)
        return Features.one(pooled, present) if self.summary_only else Features(tokens, real, pooled)

    def _fill_context(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The rows filled up to the context: ids, all of them real to the tower, and which really are."""
        missing = (0, self.config.context - ids.shape[1])
        ids = nn.functional.pad(ids.masked_fill(~mask, self.config.pads), missing, value=self.config.pads)
        return ids, torch.ones_like(ids, dtype=torch.bool), nn.functional.pad(mask, missing, value=False)

    def _summary_position(self, ids: Tensor, mask: Tensor) -> Tensor:
        """int64 [B]: the position of each row's summary; the last real token where there is no end token."""
        last = mask.sum(dim=1) - 1
        if self.config.pooling == "last":
            return last
        if self.config.pooling == "first":
            return torch.zeros_like(last)
        if self.config.pooling == "largest":
            return ids.masked_fill(~mask, -1).argmax(dim=1)
        ends = (ids == self.config.end_token) & mask
        return torch.where(ends.any(dim=1), ends.int().argmax(dim=1), last)

    def _pool(self, tokens: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        if self.config.pooling == "mean":
            return (tokens * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)
        return tokens[torch.arange(len(ids), device=ids.device), self._summary_position(ids, mask)]


def with_end_token(config: ClipTextConfig, processor: TextProcessor | None) -> ClipTextConfig:
    """`config` with the end token that its pooling reads, taken from the processor's tokenizer or checked against it.
    Raises UserError when the two differ, or when neither says."""
    if config.pooling not in ("end", "largest"):
        return config
    if processor is None:
        if config.pooling == "end" and config.end_token is None:
            raise UserError("The text tower's pooling 'end' needs the option 'end_token', or a tokenizer that has one.")
        return config
    largest = max(processor.tokenizer.get_vocab().values())
    expected, end = largest if config.pooling == "largest" else config.end_token, end_token_of(processor)
    if end is None:
        raise UserError("The tokenizer puts no token at the end of a text, where the model reads its summary.")
    if expected is None:
        return config.model_copy(update={"end_token": end})
    if end != expected:
        raise UserError(
            f"The tokenizer ends a text with token {end}, the model reads its summary at token {expected};"
            " take the tokenizer that the weights were trained with."
        )
    return config


def end_token_of(processor: TextProcessor) -> int | None:
    """The number of the token that the tokenizer puts after every text; None if there is none."""
    a, b = (processor.tokenizer.encode(text) for text in ("a", "b"))
    if not a.ids or a.ids[-1] != b.ids[-1] or not a.special_tokens_mask[-1]:
        return None
    return a.ids[-1]


def with_end_last(tokenizer: Tokenizer) -> Tokenizer:
    """`tokenizer`, trained by TextProcessor, with the numbers of its end token and of its last token exchanged. The end
    token then has the largest number, as OpenAI's has: readers that look for it by that rule and readers that look for
    its number find the same position."""
    definition = json.loads(tokenizer.to_str())
    words = definition["model"]["vocab"]
    end, last = words[END], max(words.values())
    exchanged = {end: last, last: end}
    definition["model"]["vocab"] = {word: exchanged.get(number, number) for word, number in words.items()}
    for token in definition["added_tokens"]:
        token["id"] = exchanged.get(token["id"], token["id"])
    for token in definition["post_processor"]["special_tokens"].values():
        token["ids"] = [exchanged.get(number, number) for number in token["ids"]]
    return Tokenizer.from_str(json.dumps(definition))
