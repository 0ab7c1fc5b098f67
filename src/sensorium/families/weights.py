"""Which weight of a published checkpoint is which of ours: tables that are read both ways."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from sensorium.errors import UserError, counted


class Weight(NamedTuple):
    """One weight of ours and what holds it elsewhere.

    ours:   its name, whose front says of which part of the model it is.
    theirs: the names that hold it; of several, the rows lie one below the other, by `shares`.
    shape:  theirs, where it is not ours. transposed: theirs is ours transposed.
    copies: further names that hold the same once more.
    """

    ours: str
    theirs: tuple[str, ...]
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


def pair(ours: str, *theirs: str, shares: tuple[int, ...] = (1,)) -> Iterator[Weight]:
    """A layer's weight and bias; the names end in a dot or an underscore."""
    for part in ("weight", "bias"):
        yield Weight(ours + part, tuple(name + part for name in theirs), shares)


def blocks(ours: str, theirs: str, depth: int, names: BlockNames) -> Iterator[Weight]:
    """The blocks of a Tower."""
    for index in range(depth):
        own, other = f"{ours}tower.blocks.{index}.", f"{theirs}{index}."
        yield from pair(f"{own}norm.", other + names.norm)
        yield from pair(f"{own}qkv.", *(other + name for name in names.qkv), shares=(1,) * len(names.qkv))
        yield from pair(f"{own}out.", other + names.out)
        yield from pair(f"{own}mlp_norm.", other + names.mlp_norm)
        yield from pair(f"{own}mlp.rise.", other + names.rise)
        yield from pair(f"{own}mlp.fall.", other + names.fall)


def filled(
    state: dict[str, Tensor], weights: list[Weight], tensors: dict[str, Tensor], source: str, fronts: dict[str, str]
) -> dict[str, Tensor]:
    """What the published `tensors` make of a model's `state`; every one has its place and every place of the table gets
    one.

    fronts: by the front of a name in the table, the front of the name in the state. source: where the tensors come
    from. Raises UserError for a missing weight, an unknown one, one of another size, and for copies that differ.
    """
    missing = [name for weight in weights for name in (*weight.theirs, *weight.copies) if name not in tensors]
    surplus = sorted(tensors.keys() - {name for weight in weights for name in (*weight.theirs, *weight.copies)})
    for names, what in ((missing, "lacks"), (surplus, "has beyond the model's")):
        if names:
            raise UserError(
                f"{source} {what} {counted(len(names), 'weight')}, '{names[0]}' first; bring a whole checkpoint of the"
                " model that its configuration describes."
            )
    for weight in weights:
        for name in weight.copies:
            if not torch.equal(tensors[name], tensors[weight.theirs[0]]):
                raise UserError(
                    f"{source}: the weights '{name}' and '{weight.theirs[0]}' differ, which are one here; bring a"
                    " checkpoint that was trained so."
                )
    return {_ours(weight, fronts): _read(weight, state[_ours(weight, fronts)], tensors, source) for weight in weights}


def published(state: dict[str, Tensor], weights: list[Weight], fronts: dict[str, str]) -> dict[str, Tensor]:
    """The weights of a model's `state` under the published names and in their shapes."""
    tensors = {}
    for weight in weights:
        value = state[_ours(weight, fronts)]
        value = value.T if weight.transposed else value
        value = value if weight.shape is None else value.reshape(weight.shape)
        rows = [share * len(value) // sum(weight.shares) for share in weight.shares] if value.dim() else None
        parts = [value] if len(weight.theirs) == 1 else value.split(rows)
        tensors |= {name: part.contiguous().clone() for name, part in zip(weight.theirs, parts, strict=True)}
        tensors |= {name: tensors[weight.theirs[0]].clone() for name in weight.copies}
    return tensors


def _ours(weight: Weight, fronts: dict[str, str]) -> str:
    front = next(front for front in fronts if weight.ours.startswith(front))
    return fronts[front] + weight.ours[len(front) :]


def _read(weight: Weight, ours: Tensor, tensors: dict[str, Tensor], source: str) -> Tensor:
    whole = weight.shape or tuple(ours.shape[::-1] if weight.transposed else ours.shape)
    for name, share in zip(weight.theirs, weight.shares, strict=True):
        wanted = whole if len(weight.theirs) == 1 else (share * whole[0] // sum(weight.shares), *whole[1:])
        if tuple(tensors[name].shape) not in (wanted, *([(1,)] if wanted == () else [])):
            raise UserError(
                f"{source}: the weight '{name}' has the shape {list(tensors[name].shape)}, the configuration says"
                f" {list(wanted)}; bring the configuration that belongs to the weights."
            )
    parts = [tensors[name].float() for name in weight.theirs]
    value = parts[0] if len(parts) == 1 else torch.cat(parts)
    return (value.T if weight.transposed else value).reshape(ours.shape)
