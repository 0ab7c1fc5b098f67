"""The steps of Llama's and BART's layers on a CPU: packed weights, and keys and values that grow in place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BartForConditionalGeneration, LlamaForCausalLM, MarianMTModel, PreTrainedModel

from sensorium.generation.transformers import AttendingSteps, CachedState, CausalSteps
from sensorium.nn.packed_linear import PackedLinear, can_pack

ROOM = 64  # tokens that keys and values have room for beyond those that there are


class Past:
    """The keys and values of N rows in a layer, float32 [N * heads, room, d], of which the first `length` count."""

    def __init__(self, keys: Tensor, values: Tensor):
        """keys, values: float32 [N, heads, length, d]."""
        self.heads, self.length = keys.shape[1:3]
        self.keys, self.values = (F.pad(x, (0, 0, 0, ROOM)).flatten(0, 1) for x in (keys, values))

    def append(self, keys: Tensor, values: Tensor) -> None:
        """float32 [N, heads, d] each: the next token of each row."""
        if self.length == self.keys.shape[1]:
            self.keys, self.values = (F.pad(x, (0, 0, 0, max(ROOM, self.length))) for x in (self.keys, self.values))
        self.keys[:, self.length], self.values[:, self.length] = keys.flatten(0, 1), values.flatten(0, 1)
        self.length += 1

    def attend(self, query: Tensor, bias: Tensor | None = None) -> Tensor:
        """float32 [N * heads, T, d], scaled -> the same. bias: float32 [N, 1, 1, length], added to the scores."""
        scores = torch.bmm(query, self.keys[:, : self.length].transpose(1, 2))  # [N * heads, T, length]
        if bias is not None:
            scores = (scores.unflatten(0, (-1, self.heads)) + bias).flatten(0, 1)
        return torch.bmm(scores.softmax(dim=2), self.values[:, : self.length])

    def take(self, rows: Tensor) -> "Past":
        """The rows `rows`, int64 [M]."""
        taken = object.__new__(Past)
        taken.heads, taken.length = self.heads, self.length
        taken.keys, taken.values = (
            x.unflatten(0, (-1, self.heads))[rows].flatten(0, 1) for x in (self.keys, self.values)
        )
        return taken


@dataclass
class PackedState:
    """past: of each layer, N = B * beams rows. positions: int64 [N], of the next token. bias: float32 [N, 1, 1, T],
    minus infinity at padding of what was read first, None without any. cross: of each layer, what B samples attend to.
    """

    past: list[Past]
    positions: Tensor
    bias: Tensor | None
    cross: Sequence[Past] = ()
    beams: int = 1

    def take(self, index: Tensor) -> "PackedState":
        """See `generation.decoder.State`."""
        rows, samples = index.flatten(), index[:, 0] // self.beams
        past, bias, cross = [layer.take(rows) for layer in self.past], self.bias, self.cross
        # The beams of a sample share what it attends to, so that re-ordering beams moves none of it.
        if cross and not torch.equal(samples, torch.arange(len(self.positions) // self.beams, device=rows.device)):
            cross = [layer.take(samples) for layer in cross]
            bias = None if bias is None else bias[samples]
        elif not cross:
            bias = None if bias is None else bias[rows]
        return PackedState(past, self.positions[rows], bias, cross, index.shape[1])


class LlamaLayer(NamedTuple):
    """A layer's weights: queries, keys and values at once, gate and rise at once."""

    layer: nn.Module
    qkv: PackedLinear
    out: PackedLinear
    rise: PackedLinear
    fall: PackedLinear


class LlamaSteps:
    """Of a LlamaForCausalLM. Its own layers read the prefix; ours write."""

    def __init__(self, model: LlamaForCausalLM):
        self.model, self.before = model, CausalSteps(model)
        self.layers = [
            LlamaLayer(
                layer,
                PackedLinear(layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj),
                PackedLinear(layer.self_attn.o_proj),
                PackedLinear(layer.mlp.gate_proj, layer.mlp.up_proj),
                PackedLinear(layer.mlp.down_proj),
            )
            for layer in model.model.layers
        ]
        self.words = PackedLinear(model.lm_head)

    def begin(self, prefix: Tensor, mask: Tensor) -> tuple[Tensor, PackedState]:
        """See `CausalSteps.begin`."""
        logits, state = self.before.begin(prefix, mask)
        return logits, _packed(state, None if state.mask is None else bias_of(mask))

    def keeps_all(self, state: PackedState) -> bool:
        """See `CausalSteps.keeps_all`."""
        return True

    def resume(self, prefix: Tensor, state: PackedState, common: int) -> tuple[Tensor, PackedState]:
        """See `CausalSteps.resume`."""
        shapes = (0, (-1, state.past[0].heads))
        layers = [(past.keys.unflatten(*shapes), past.values.unflatten(*shapes)) for past in state.past]
        logits, resumed = self.before.read_on(prefix, layers, common)
        return logits, _packed(resumed, None)

    def step(self, tokens: Tensor, state: PackedState) -> Tensor:
        """int64 [N] -> float32 [N, V]."""
        inner, config = self.model.model, self.model.config
        x = inner.embed_tokens(tokens)  # [N, D]
        cos, sin = inner.rotary_emb(x, state.positions[:, None])  # [N, 1, d]
        half = cos.shape[2] // 2
        sin = torch.cat([-sin[..., :half], sin[..., half:]], dim=2)
        bias = None
        if state.bias is not None:  # what was written is never padding
            state.bias = F.pad(state.bias, (0, 1))
            bias = state.bias
        queries, keys = config.num_attention_heads, config.num_key_value_heads
        for packed, past in zip(self.layers, state.past, strict=True):
            attention = packed.layer.self_attn
            qkv = packed.qkv(_rms_norm(packed.layer.input_layernorm, x)).unflatten(1, (queries + 2 * keys, -1))
            turning = qkv[:, : queries + keys]  # [N, heads, d]
            turned = turning * cos + torch.cat([turning[..., half:], turning[..., :half]], dim=2) * sin
            past.append(turned[:, queries:], qkv[:, queries + keys :])
            query = (
                (turned[:, :queries] * attention.scaling).unflatten(1, (keys, -1)).flatten(0, 1)
            )  # [N * heads, T, d]
            x = x + packed.out(past.attend(query, bias).view(len(x), -1))
            gate, rise = packed.rise(_rms_norm(packed.layer.post_attention_layernorm, x)).chunk(2, dim=1)
            x = x + packed.fall(packed.layer.mlp.act_fn(gate) * rise)
        state.positions = state.positions + 1
        return self.words(_rms_norm(inner.norm, x))


def _packed(state: CachedState, bias: Tensor | None) -> PackedState:
    return PackedState([Past(layer.keys, layer.values) for layer in state.cache.layers], state.positions, bias)


class AttendingLayer(NamedTuple):
    """The products of a layer that attends to itself and to what was encoded: queries, keys and values at once."""

    layer: nn.Module
    qkv: Callable[[Tensor], Tensor]
    out: Callable[[Tensor], Tensor]
    query: Callable[[Tensor], Tensor]
    cross_out: Callable[[Tensor], Tensor]
    rise: Callable[[Tensor], Tensor]
    fall: Callable[[Tensor], Tensor]

    @classmethod
    def of(cls, layer: nn.Module, product: Callable[..., Callable[[Tensor], Tensor]]) -> "AttendingLayer":
        """product: makes one of several linear layers side by side."""
        attention, crossing = layer.self_attn, layer.encoder_attn
        return cls(
            layer,
            product(attention.q_proj, attention.k_proj, attention.v_proj),
            product(attention.out_proj),
            product(crossing.q_proj),
            product(crossing.out_proj),
            product(layer.fc1),
            product(layer.fc2),
        )


class BartSteps:
    """Of a BartForConditionalGeneration or a MarianMTModel. Its own layers read what comes first; ours write."""

    def __init__(self, model: PreTrainedModel):
        self.model, self.before = model, AttendingSteps(model)
        self.layers = [AttendingLayer.of(layer, PackedLinear) for layer in model.model.decoder.layers]
        self.words = PackedLinear(model.lm_head)

    def begin(self, encoded: Tensor, mask: Tensor, tokens: Tensor) -> tuple[Tensor, PackedState]:
        """See `AttendingSteps.begin`."""
        logits, state = self.before.begin(encoded, mask, tokens)
        caches = state.cache.self_attention_cache.layers, state.cache.cross_attention_cache.layers
        past, cross = ([Past(layer.keys, layer.values) for layer in cache] for cache in caches)
        return logits, PackedState(past, state.positions, None if state.mask is None else bias_of(mask), cross)

    def step(self, tokens: Tensor, state: PackedState) -> Tensor:
        """int64 [N] -> float32 [N, V]."""
        decoder, beams = self.model.model.decoder, state.beams
        position = state.past[0].length + getattr(decoder.embed_positions, "offset", 0)
        x = decoder.embed_tokens(tokens) * getattr(decoder, "embed_scale", 1.0)
        x = x + decoder.embed_positions.weight[position]  # [N, D]
        if hasattr(decoder, "layernorm_embedding"):
            x = decoder.layernorm_embedding(x)
        for packed, past, cross in zip(self.layers, state.past, state.cross, strict=True):
            layer, heads = packed.layer, past.heads
            query, key, value = packed.qkv(x).unflatten(1, (3, heads, -1)).unbind(1)  # [N, heads, d]
            past.append(key, value)
            query = (query * layer.self_attn.scaling).flatten(0, 1)[:, None]  # [N * heads, 1, d]
            x = layer.self_attn_layer_norm(x + packed.out(past.attend(query).view(len(x), -1)))
            # The beams of a sample are the queries of one row.
            query = (packed.query(x) * layer.encoder_attn.scaling).view(-1, beams, heads, query.shape[2])
            attended = cross.attend(query.transpose(1, 2).flatten(0, 1), state.bias)  # [B * heads, beams, d]
            attended = attended.unflatten(0, (-1, heads)).transpose(1, 2).reshape(len(x), -1)  # [N, D]
            x = layer.encoder_attn_layer_norm(x + packed.cross_out(attended))
            x = layer.final_layer_norm(x + packed.fall(layer.activation_fn(packed.rise(x))))
        state.positions = state.positions + 1
        return self.words(x) + self.model.final_logits_bias


def steps_of(model: PreTrainedModel, before: Any = None) -> Any:
    """The fastest steps that there are for the model as it is. before: those of the last time, which are taken while
    they have the model's weights.
    """
    fast = {LlamaForCausalLM: LlamaSteps, BartForConditionalGeneration: BartSteps, MarianMTModel: BartSteps}
    kind = AttendingSteps if model.config.is_encoder_decoder else CausalSteps
    if type(model) in fast and not torch.is_grad_enabled() and not model.training and can_pack(model):
        kind = fast[type(model)]
    return with_weights(model, before if type(before) is kind else None, partial(kind, model))


def with_weights(model: PreTrainedModel, before: Any, make: Callable[[], Any]) -> Any:
    """The steps `before`, None for none, while they have the model's weights; else what `make` gives."""
    stamp = tuple((weight.data_ptr(), weight._version) for weight in model.parameters())
    if before is None or before.stamp != stamp:
        before = make()
        before.stamp = stamp
    return before


def bias_of(mask: Tensor) -> Tensor:
    """bool [N, T] -> float32 [N, 1, 1, T], minus infinity where it is False."""
    return torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, -torch.inf)[:, None, None]


def _rms_norm(norm: Any, x: Tensor) -> Tensor:
    return F.rms_norm(x, norm.weight.shape, norm.weight, norm.variance_epsilon)
