"""Inputs of any width brought to one width, with zeros where they are absent."""

import torch
from torch import Tensor, nn

from sensorium.features import Features
from sensorium.nn.named import Named
from sensorium.nn.packing import Packing
from sensorium.nn.precision import wide


class Inputs(nn.Module):
    """A LayerNorm and a linear map for each input, to one width; the first layer of every fusion. dims: input name ->
    width of its encoder. Every masked value is replaced by zero before anything reads it, so noise (or NaN) in an
    absent slot changes no bit of the output. `dropout` acts before the linear map."""

    def __init__(self, dims: dict[str, int], dim: int, dropout: float = 0.0):
        super().__init__()
        maps = {
            name: nn.Sequential(nn.LayerNorm(width), nn.Dropout(dropout), nn.Linear(width, dim))
            for name, width in dims.items()
        }
        self.maps = Named(maps)

    @property
    def names(self) -> list[str]:
        """The inputs' names, in order."""
        return self.maps.names

    def forward(self, features: dict[str, Features]) -> dict[str, Features]:
        """Each input at the one width: float32 (or float64) tokens [B, T, D] and pooled [B, D], zero where masked."""
        mapped = {}
        for name in self.names:
            (tokens, mask, pooled), present = features[name], features[name].present
            mapped[name] = Features(self._map(name, tokens, mask), mask, self._map(name, pooled, present))
        return mapped

    def summaries(self, features: dict[str, Features]) -> tuple[Tensor, Tensor]:
        """Pooled features alone: float32 [B, N, D] for N inputs, zero where absent, and presence, bool [B, N]."""
        each, present = self.each(features)
        return torch.stack(each, dim=1), present

    def each(self, features: dict[str, Features]) -> tuple[list[Tensor], Tensor]:
        """The same as `summaries`, as a list: N times float32 [B, D]."""
        present = torch.stack([features[name].present for name in self.names], dim=1)
        pooled = [features[name].pooled for name in self.names]
        if bool(present.all()):  # as in most batches: there is nothing to zero
            return [wide(self.maps[name](wide(x))) for name, x in zip(self.names, pooled, strict=True)], present
        rows = zip(self.names, pooled, present.unbind(dim=1), strict=True)
        return [self._map(name, x, real) for name, x, real in rows], present

    def packed(self, features: dict[str, Features]) -> dict[str, tuple[Tensor, Packing]]:
        """Only the real tokens: for each input float32 [N, D] and where its N tokens are; see `Packing`."""
        tokens_by_input = {}
        for name in self.names:
            packing = Packing.of(features[name].mask)
            tokens_by_input[name] = wide(self.maps[name](wide(packing.pack(features[name].tokens)))), packing
        return tokens_by_input

    def _map(self, name: str, x: Tensor, real: Tensor) -> Tensor:
        return _zeroed(self.maps[name](wide(torch.where(real[..., None], x, 0.0))), real)


def _zeroed(mapped: Tensor, real: Tensor) -> Tensor:
    """float [..., D] -> float32, zero where `real`, bool [...], is False. `mapped` is finite there."""
    mapped = wide(mapped)
    return mapped * real[..., None].to(mapped.dtype)  # on a CPU several times as fast as torch.where
