"""The steps of any decoder of the Transformers library, with that library's own layers and cache."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from sensorium.nn.precision import wide


@dataclass
class CachedState:
    """cache: keys and values of N rows. mask: int64 [N, T + t], the tokens read so far; None where all are real.
    positions: int64 [N], of the next token. encoded: float [N, S, D], and its mask, what a decoder attends to.
    """

    cache: Cache
    positions: Tensor
    mask: Tensor | None = None
    encoded: Tensor | None = None

    def take(self, index: Tensor) -> "CachedState":
        """See `generation.decoder.State`; the cache of this state becomes that of the new one."""
        rows = index.flatten()
        self.cache.reorder_cache(rows)
        mask, encoded = (None if tensor is None else tensor[rows] for tensor in (self.mask, self.encoded))
        return CachedState(self.cache, self.positions[rows], mask, encoded)


class CausalSteps:
    """Of a causal language model: a prefix of embeddings, then tokens."""

    def __init__(self, model: PreTrainedModel):
        self.model = model
        self.accepted = set(inspect.signature(model.forward).parameters)

    def begin(self, prefix: Tensor, mask: Tensor) -> tuple[Tensor, CachedState]:
        """float [B, T, D], padded on the left, and bool [B, T] -> float32 [B, V] and the state."""
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        state = CachedState(DynamicCache(config=self.model.config), positions[:, -1] + 1)
        state.mask = None if mask.all() else mask.long()
        return self._run(state, positions, inputs_embeds=prefix), state

    def keeps_all(self, state: CachedState) -> bool:
        """Whether `state` has the keys and values of all tokens; a sliding window forgets the first."""
        return not any(getattr(layer, "is_sliding", False) for layer in state.cache.layers)

    def resume(self, prefix: Tensor, state: CachedState, common: int) -> tuple[Tensor, CachedState]:
        """`begin` for one row, float [1, T, D], whose first `common` tokens `state` has read too."""
        return self.read_on(prefix, [(layer.keys, layer.values) for layer in state.cache.layers], common)

    def read_on(
        self, prefix: Tensor, layers: Sequence[tuple[Tensor, Tensor]], common: int
    ) -> tuple[Tensor, CachedState]:
        """The same from the keys and values of each layer, float [1, heads, T or more, d]."""
        cache = DynamicCache(config=self.model.config)
        for number, (keys, values) in enumerate(layers):
            cache.update(keys[:, :, :common], values[:, :, :common], number)
        positions = torch.arange(common, prefix.shape[1], device=prefix.device)[None]
        resumed = CachedState(cache, positions[:, -1] + 1)
        return self._run(resumed, positions, inputs_embeds=prefix[:, common:]), resumed

    def step(self, tokens: Tensor, state: CachedState) -> Tensor:
        """int64 [N] -> float32 [N, V]."""
        if state.mask is not None:
            state.mask = torch.cat([state.mask, state.mask.new_ones(len(tokens), 1)], dim=1)
        positions, state.positions = state.positions, state.positions + 1
        return self._run(state, positions[:, None], input_ids=tokens[:, None])

    def all_logits(self, embedded: Tensor, mask: Tensor, positions: Tensor, last: int) -> Tensor:
        """float [N, T, D], bool [N, T] and int64 [N, T] -> float32 [N, last, V], of the last so many, without cache."""
        options = {"logits_to_keep": last, "position_ids": positions}
        options = {name: value for name, value in options.items() if name in self.accepted}
        logits = self.model(inputs_embeds=embedded, attention_mask=mask.long(), use_cache=False, **options).logits
        return wide(logits[:, -last:])

    def _run(self, state: CachedState, positions: Tensor, **inputs: Tensor) -> Tensor:
        options = {"logits_to_keep": 1, "position_ids": positions, cache_name(self.model): state.cache}
        options = {name: value for name, value in options.items() if name in self.accepted}
        return wide(self.model(**inputs, attention_mask=state.mask, use_cache=True, **options).logits[:, -1])


class AttendingSteps:
    """Of a decoder that attends to what was encoded."""

    def __init__(self, model: PreTrainedModel):
        self.model = model

    def begin(self, encoded: Tensor, mask: Tensor, tokens: Tensor) -> tuple[Tensor, CachedState]:
        """float [B, S, D] and bool [B, S], at least one of a row; int64 [B, P], the tokens that are read first ->
        float32 [B, V] and the state.
        """
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        positions = torch.full((len(tokens),), tokens.shape[1], device=tokens.device)
        state = CachedState(cache, positions, None if mask.all() else mask.long(), encoded)
        return self._run(tokens, state), state

    def step(self, tokens: Tensor, state: CachedState) -> Tensor:
        """int64 [N] -> float32 [N, V]."""
        return self._run(tokens[:, None], state)

    def _run(self, tokens: Tensor, state: CachedState) -> Tensor:
        logits = self.model(
            encoder_outputs=BaseModelOutput(state.encoded),
            attention_mask=state.mask,
            decoder_input_ids=tokens,
            use_cache=True,
            **{cache_name(self.model): state.cache},
        ).logits
        return wide(logits[:, -1])


def cache_name(model: PreTrainedModel) -> str:
    """How the model's `forward` calls its cache, which Transformers 5 renames."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
