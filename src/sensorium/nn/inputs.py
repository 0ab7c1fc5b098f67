"""Inputs of any width brought to one, absence first."""

import torch
from torch import Tensor, nn

from sensorium.features import Features
from sensorium.nn.named import Named
from sensorium.nn.packing import Packing
from sensorium.nn.precision import wide


class Inputs(nn.Module):
    """A LayerNorm and a linear map for each input, to one width; the first layer of every fusion.

    dims: input name -> width of its encoder. Whatever stands in a masked place is replaced by zero before anything
    reads it, so noise (or NaN) in an absent slot changes no bit of what comes out. `dropout` acts before the linear
    map.
    """

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
        """Each input at the one width: float32 tokens [B, T, D] and pooled [B, D], zero where masked.

        A float64 model takes and gives float64.
        """
        return {
            name: Features(
                self._map(name, features[name].tokens, features[name].mask),
                features[name].mask,
                self._map(name, features[name].pooled, features[name].present),
            )
            for name in self.names
        }

    def summaries(self, features: dict[str, Features]) -> tuple[Tensor, Tensor]:
        """The pooled features alone: float32 [B, N, D] for N inputs, and which are present, bool [B, N]."""
        pooled = [self._map(name, features[name].pooled, features[name].present) for name in self.names]
        return torch.stack(pooled, dim=1), torch.stack([features[name].present for name in self.names], dim=1)

    def packed(self, features: dict[str, Features]) -> dict[str, tuple[Tensor, Packing]]:
        """The real tokens alone: for each input float32 [N, D] and where its N tokens lie; see `Packing`."""
        found = {}
        for name in self.names:
            packing = Packing.of(features[name].mask)
            found[name] = wide(self.maps[name](wide(packing.pack(features[name].tokens)))), packing
        return found

    def _map(self, name: str, x: Tensor, real: Tensor) -> Tensor:
        real = real[..., None]  # [B, T, 1] of tokens, [B, 1] of pooled
        mapped = self.maps[name](wide(torch.where(real, x, 0.0)))
        return wide(torch.where(real, mapped, 0.0))
