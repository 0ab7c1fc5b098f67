"""The transformer of published two-tower models: one projection for queries, keys and values, no work on padding."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sensorium.nn.activation import ACTIVATIONS, STEEPNESS, Activation
from sensorium.nn.attend import attend
from sensorium.nn.packing import Packing
from sensorium.nn.prepacked import PrepackedLinear


class MLP(nn.Module):
    """Linear, activation, linear."""

    def __init__(self, width: int, hidden: int, activation: Activation):
        super().__init__()
        self.rise = nn.Linear(width, hidden)
        self.fall = nn.Linear(hidden, width)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """float [..., D] -> the same shape."""
        return self.fall(self.activation(self.rise(x)))

    def prepack(self) -> None:
        """Both layers become PrepackedLinear (see there), with quick_gelu(x) = swish(1.702 x) / 1.702 inside."""
        if self.activation is ACTIVATIONS["quick_gelu"]:
            self.rise = PrepackedLinear(self.rise, "swish", STEEPNESS)
            self.fall = PrepackedLinear(self.fall, scale=1 / STEEPNESS, bias_scale=1.0)
            self.activation = nn.Identity()
        else:
            self.rise, self.fall = PrepackedLinear(self.rise), PrepackedLinear(self.fall)


class TowerBlock(nn.Module):
    """Pre-norm self-attention and an MLP over packed tokens; `causal`: no token sees a later one of its row."""

    def __init__(self, width: int, hidden: int, heads: int, activation: Activation, eps: float, causal: bool):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norm = nn.LayerNorm(width, eps)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width, eps)
        self.mlp = MLP(width, hidden, activation)

    def forward(self, x: Tensor, packing: Packing, positions: Tensor | None = None) -> Tensor:
        """float32 [N, D] -> the same shape; with `positions`, int64 [B], only each row's token there, float32 [B, D].
        For these it computes keys and values of all tokens, but one query, one output and one MLP a row."""
        if positions is not None:
            return self._at_positions(x, packing, positions)
        query, key, value = _split(packing.pad(self.qkv(self.norm(x))), 3, self.heads)
        # Padding comes last in a row, so that a causal query never sees it.
        allowed = None if self.causal or packing.mask is None else packing.mask[:, None, None]  # [B, 1, 1, L]
        attended = attend(query, key, value, allowed, self.causal)
        return self._add(x, packing.pack(attended.transpose(1, 2).flatten(2)))  # [N, D]

    def _at_positions(self, x: Tensor, packing: Packing, positions: Tensor) -> Tensor:
        width = x.shape[1]
        normed, index = self.norm(x), packing.index(positions)
        keys_values = packing.pad(_output_rows(self.qkv, normed, width, 3 * width))  # [B, L, 2 * D]
        query = _output_rows(self.qkv, normed[index], 0, width)[:, None]  # [B, 1, D]
        (query,), (key, value) = _split(query, 1, self.heads), _split(keys_values, 2, self.heads)
        attended = attend(query, key, value, self._allowed(packing, positions))  # [B, heads, 1, D / heads]
        return self._add(x[index], attended.flatten(1))  # [B, D]

    def _allowed(self, packing: Packing, positions: Tensor) -> Tensor | None:
        """bool [B, 1, 1, L]: the keys that the token at `positions` of each row attends to; None for all."""
        allowed = packing.mask
        if self.causal:
            earlier = torch.arange(packing.longest, device=positions.device) <= positions[:, None]  # [B, L]
            allowed = earlier if allowed is None else allowed & earlier
        return None if allowed is None else allowed[:, None, None]

    def _add(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.out(attended)
        return x + self.mlp(self.mlp_norm(x))


class Tower(nn.Module):
    """`depth` blocks over packed tokens and a last LayerNorm; the residual stream is float32 at any precision. The
    weights start as CLIP's do (Radford et al. 2021, arXiv:2103.00020)."""

    def __init__(
        self, width: int, depth: int, heads: int, hidden: int, activation: Activation, eps: float, causal: bool = False
    ):
        super().__init__()
        self.blocks = nn.ModuleList(TowerBlock(width, hidden, heads, activation, eps, causal) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps)
        for block in self.blocks:
            nn.init.normal_(block.qkv.weight, std=width**-0.5)
            nn.init.normal_(block.mlp.rise.weight, std=(2 * width) ** -0.5)
            for last in (block.out, block.mlp.fall):
                nn.init.normal_(last.weight, std=(width * 2 * depth) ** -0.5)
            for layer in (block.qkv, block.out, block.mlp.rise, block.mlp.fall):
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, packing: Packing, positions: Tensor | None = None) -> Tensor:
        """float [N, D], packed tokens with their position embeddings added -> float32 [N, D]. With `positions`, int64
        [B]: only each row's token there, float32 [B, D], for less work in the last block."""
        x = x.float()
        for block in self.blocks[:-1]:
            x = block(x, packing)
        return self.norm(self.blocks[-1](x, packing, positions))


class ProbePooling(nn.Module):
    """A learned probe attends to all tokens, then an MLP (Zhai et al. 2022, arXiv:2106.04560, as SigLIP has it)."""

    def __init__(self, width: int, hidden: int, heads: int, activation: Activation, eps: float):
        super().__init__()
        self.heads = heads
        self.probe = nn.Parameter(torch.empty(width))
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps)
        self.mlp = MLP(width, hidden, activation)
        nn.init.normal_(self.probe, std=width**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """float [B, T, D] -> float [B, D]."""
        rows, width = len(tokens), tokens.shape[-1]
        query = _output_rows(self.qkv, self.probe[None], 0, width)
        query = query.view(1, self.heads, 1, -1).expand(rows, -1, -1, -1)  # [B, heads, 1, D / heads]
        key, value = _split(_output_rows(self.qkv, tokens, width, 3 * width), 2, self.heads)
        attended = attend(query, key, value).reshape(rows, width)
        x = self.out(attended).float()
        return x + self.mlp(self.norm(x))


def _output_rows(layer: nn.Linear | PrepackedLinear, x: Tensor, first: int, last: int) -> Tensor:
    """float [..., in] -> float [..., last - first]: only these of the layer's outputs."""
    if isinstance(layer, PrepackedLinear):
        return layer.rows(x, first, last)
    return F.linear(x, layer.weight[first:last], layer.bias[first:last])


def _split(x: Tensor, count: int, heads: int) -> tuple[Tensor, ...]:
    """[B, L, count * D] -> `count` times [B, heads, L, D / heads]."""
    return x.unflatten(-1, (count, heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
