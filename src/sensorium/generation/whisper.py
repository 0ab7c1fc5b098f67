"""The steps of Whisper's decoder, which attends to windows of different lengths: its own layers cannot mask them."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from transformers import WhisperForConditionalGeneration

from sensorium.generation.packed import AttendingLayer, PackedState, Past, bias_of, with_weights
from sensorium.nn.packed_linear import PackedLinear, can_pack
from sensorium.nn.precision import wide

Linear = Callable[[Tensor], Tensor]
Crossing = dict[tuple[int, int], Tensor | None]


class WhisperSteps:
    """Of the decoder of `model`, whose encoder is not read. `packed` lays its weights out for writing on a CPU."""

    def __init__(self, model: WhisperForConditionalGeneration, packed: bool):
        self.decoder, self.packed = model.model.decoder, packed
        self.layers = [AttendingLayer.of(layer, partial(_linear, packed)) for layer in self.decoder.layers]
        self.words = _linear(packed, model.proj_out)

    def attend(self, encoded: Tensor, mask: Tensor) -> PackedState:
        """float [B, S, D] and bool [B, S], at least one of a row -> the state before any token."""
        bias = None if mask.all() else bias_of(mask)
        cross = []
        for layer in self.decoder.layers:
            attention = layer.encoder_attn
            pair = (projection(encoded) for projection in (attention.k_proj, attention.v_proj))
            cross.append(Past(*(x.unflatten(2, (attention.num_heads, -1)).transpose(1, 2) for x in pair)))
        positions = torch.zeros(len(encoded), dtype=torch.long, device=encoded.device)
        return PackedState([], positions, bias, cross)

    def begin(self, encoded: Tensor, mask: Tensor, tokens: Tensor) -> tuple[Tensor, PackedState]:
        """What `attend` takes, and int64 [B, P], the tokens that are read first -> float32 [B, V] and the state."""
        state = self.attend(encoded, mask)
        x = self.read(tokens, state)
        return wide(self.words(x[:, -1])), state

    def step(self, tokens: Tensor, state: PackedState) -> Tensor:
        """int64 [N] -> float32 [N, V]."""
        return wide(self.words(self.read(tokens[:, None], state)[:, 0]))

    def read(self, tokens: Tensor, state: PackedState, crossing: Crossing | None = None) -> Tensor:
        """int64 [N, P], of which several only at the beginning -> float [N, P, D], what the words are read off.

        crossing: gets the attention of its layers and heads to what was encoded, float [N, P, S] each.
        """
        decoder, count = self.decoder, tokens.shape[1]
        length = state.past[0].length if state.past else 0
        x = decoder.embed_tokens(tokens) + decoder.embed_positions.weight[length : length + count]  # [N, P, D]
        causal = None
        if count > 1:
            causal = torch.full((count, count), -torch.inf, device=x.device).triu(1)
        for number, (packed, cross) in enumerate(zip(self.layers, state.cross, strict=True)):
            layer, heads, scale = packed.layer, cross.heads, packed.layer.self_attn.scaling
            # Attention to the earlier tokens.
            qkv = packed.qkv(layer.self_attn_layer_norm(x)).unflatten(2, (3, heads, -1))  # [N, P, 3, heads, d]
            query, keys, values = qkv.permute(2, 0, 3, 1, 4)  # [N, heads, P, d] each
            if number == len(state.past):
                state.past.append(Past(keys, values))
            else:
                state.past[number].append(keys[:, :, 0], values[:, :, 0])
            attended = state.past[number].attend((query * scale).flatten(0, 1), causal)
            x = x + packed.out(_joined(attended, heads, count))
            # Attention to what was encoded; the beams of a sample are the queries of one row.
            query = (packed.query(layer.encoder_attn_layer_norm(x)) * scale).view(-1, state.beams * count, x.shape[2])
            query = query.unflatten(2, (heads, -1)).transpose(1, 2).flatten(0, 1)  # [B * heads, beams * P, d]
            chosen = [head for layer_number, head in crossing or () if layer_number == number]
            if chosen:
                weights = _attention(query, cross, state.bias, chosen).unbind(1)
                crossing |= {(number, head): of_head for head, of_head in zip(chosen, weights, strict=True)}
            x = x + packed.cross_out(_joined(cross.attend(query, state.bias), heads, count))
            x = x + packed.fall(layer.activation_fn(packed.rise(layer.final_layer_norm(x))))
        state.positions = state.positions + count
        return decoder.layer_norm(x)


def whisper_steps(model: WhisperForConditionalGeneration, before: WhisperSteps | None) -> WhisperSteps:
    """The fastest steps for the model as it is. before: those of the last time, which are taken while they have its
    weights.
    """
    packed = not torch.is_grad_enabled() and not model.training and can_pack(model)
    same = before if before is not None and before.packed is packed else None
    return with_weights(model, same, partial(WhisperSteps, model, packed))


def _linear(packed: bool, *layers: nn.Linear) -> Linear:
    """The products of `layers` side by side, of float [..., in]."""
    return partial(_packed_product, PackedLinear(*layers)) if packed else partial(_product, layers)


def _product(layers: Sequence[nn.Linear], x: Tensor) -> Tensor:
    return torch.cat([layer(x) for layer in layers], dim=-1)


def _packed_product(product: PackedLinear, x: Tensor) -> Tensor:
    return product(x.flatten(0, -2)).unflatten(0, x.shape[:-1])


def _joined(attended: Tensor, heads: int, count: int) -> Tensor:
    """float [B * heads, beams * P, d] -> float [B * beams, P, D]."""
    attended = attended.unflatten(0, (-1, heads)).transpose(1, 2).flatten(2)  # [B, beams * P, D]
    return attended.reshape(-1, count, attended.shape[2])


def _attention(query: Tensor, cross: Past, bias: Tensor | None, chosen: list[int]) -> Tensor:
    """float [B * heads, P, d] -> float [B, A, P, S], the attention of the A heads that are `chosen`."""
    keys = cross.keys[:, : cross.length]
    query, keys = (x.unflatten(0, (-1, cross.heads))[:, chosen] for x in (query, keys))
    scores = query @ keys.mT
    return (scores if bias is None else scores + bias).softmax(dim=3)
