"""Which weight of a published checkpoint is which of ours: tables that are read both ways."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from sensorium.errors import UserError, counted


class Weight(NamedTuple):
    """One weight of ours and what holds it elsewhere.

    ours:   its name, whose front says of which part of the model it is.
    published_names: the names that hold it; of several, the rows lie one below the other, by `shares`.
    shape:  the published one, where it is not ours. transposed: the published one is ours transposed.
    copies: further names that hold the same once more."""

    ours: str
    published_names: tuple[str, ...]
    shares: tuple[int, ...] = (1,)
    shape: tuple[int, ...] | None = None
    transposed: bool = False
    copies: tuple[str, ...] = ()


class BlockNames(NamedTuple):
    """What the parts of a transformer block are called; `qkv` are one name or several, each with its share of rows."""

    norm: str
    qkv: tuple[str, ...]
    out: str
    mlp_norm: str
    rise: str
    fall: str


TIMM_BLOCK = BlockNames("norm1.", ("attn.qkv.",), "attn.proj.", "norm2.", "mlp.fc1.", "mlp.fc2.")


def pair(our_name: str, *published_names: str, shares: tuple[int, ...] = (1,)) -> Iterator[Weight]:
    """A layer's weight and bias; the names end in a dot or an underscore."""
    for kind in ("weight", "bias"):
        yield Weight(our_name + kind, tuple(name + kind for name in published_names), shares)


def blocks(our_prefix: str, published_prefix: str, depth: int, names: BlockNames) -> Iterator[Weight]:
    """The blocks of a Tower."""
    for index in range(depth):
        our_front, published_front = f"{our_prefix}tower.blocks.{index}.", f"{published_prefix}{index}."
        yield from pair(f"{our_front}norm.", published_front + names.norm)
        qkv = [published_front + name for name in names.qkv]
        yield from pair(f"{our_front}qkv.", *qkv, shares=(1,) * len(qkv))
        yield from pair(f"{our_front}out.", published_front + names.out)
        yield from pair(f"{our_front}mlp_norm.", published_front + names.mlp_norm)
        yield from pair(f"{our_front}mlp.rise.", published_front + names.rise)
        yield from pair(f"{our_front}mlp.fall.", published_front + names.fall)


def filled(
    state: dict[str, Tensor], weights: list[Weight], tensors: dict[str, Tensor], source: str, fronts: dict[str, str]
) -> dict[str, Tensor]:
    """A model's `state` filled with the published `tensors`; each tensor is used and each weight of the table is
    filled.

    fronts: by the front of a name in the table, the front of the name in the state. source: where the tensors come
    from. Raises UserError for a missing weight, an unknown one, one of another size, and for copies that differ."""
    names = [name for weight in weights for name in (*weight.published_names, *weight.copies)]
    missing, surplus = [name for name in names if name not in tensors], sorted(tensors.keys() - set(names))
    for names, verb in ((missing, "lacks"), (surplus, "has beyond the model's")):
        if names:
            raise UserError(
                f"{source} {verb} {counted(len(names), 'weight')}, '{names[0]}' first; bring a whole checkpoint of the"
                " model that its configuration describes."
            )
    for weight in weights:
        for name in weight.copies:
            if not torch.equal(tensors[name], tensors[weight.published_names[0]]):
                raise UserError(
                    f"{source}: the weights '{name}' and '{weight.published_names[0]}' differ, which are one here;"
                    " bring a checkpoint that was trained so."
                )
    by_name = {_state_name(weight, fronts): weight for weight in weights}
    return {name: _read(weight, state[name], tensors, source) for name, weight in by_name.items()}


def published(state: dict[str, Tensor], weights: list[Weight], fronts: dict[str, str]) -> dict[str, Tensor]:
    """The weights of a model's `state` under the published names and in their shapes."""
    tensors = {}
    for weight in weights:
        value = state[_state_name(weight, fronts)]
        value = value.T if weight.transposed else value
        value = value if weight.shape is None else value.reshape(weight.shape)
        rows = [share * len(value) // sum(weight.shares) for share in weight.shares] if value.dim() else None
        pieces = [value] if len(weight.published_names) == 1 else value.split(rows)
        for name, piece in zip(weight.published_names, pieces, strict=True):
            tensors[name] = piece.contiguous().clone()
        tensors |= {name: tensors[weight.published_names[0]].clone() for name in weight.copies}
    return tensors


def _state_name(weight: Weight, fronts: dict[str, str]) -> str:
    front = next(front for front in fronts if weight.ours.startswith(front))
    return fronts[front] + weight.ours[len(front) :]


def _read(weight: Weight, our_tensor: Tensor, tensors: dict[str, Tensor], source: str) -> Tensor:
    full_shape = weight.shape or tuple(our_tensor.shape[::-1] if weight.transposed else our_tensor.shape)
    for name, share in zip(weight.published_names, weight.shares, strict=True):
        expected = full_shape
        if len(weight.published_names) > 1:
            expected = (share * full_shape[0] // sum(weight.shares), *full_shape[1:])
        if tuple(tensors[name].shape) not in (expected, *([(1,)] if expected == () else [])):
            raise UserError(
                f"{source}: the weight '{name}' has the shape {list(tensors[name].shape)}, the configuration says"
                f" {list(expected)}; bring the configuration that belongs to the weights."
            )
    pieces = [tensors[name].float() for name in weight.published_names]
    value = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
    return (value.T if weight.transposed else value).reshape(our_tensor.shape)
