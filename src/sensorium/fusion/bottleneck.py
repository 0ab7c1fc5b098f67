"""Interactive fusion through a bottleneck: inputs exchange information only through a few shared tokens."""

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from sensorium.features import Features
from sensorium.fusion.separate import mean_of_real
from sensorium.nn.inputs import Inputs
from sensorium.nn.named import Named
from sensorium.nn.packing import Packing
from sensorium.nn.residual import FeedForward, SelfAttention


class BottleneckConfig(BaseModel, frozen=True, extra="forbid"):
    """`dim`: width of a token, a multiple of `heads`; `layers`: how many blocks each input has; `bottlenecks`: how many
    tokens the inputs share; the MLPs are `ratio` times as wide inside, with `dropout`."""

    dim: int = Field(128, gt=0)
    layers: int = Field(2, gt=0)
    heads: int = Field(4, gt=0)
    bottlenecks: int = Field(4, gt=0)
    ratio: int = Field(4, gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)


class Bottleneck(nn.Module):
    """A transformer for each input and a few tokens shared by all (MBT, Nagrani et al. 2021, arXiv:2107.00135).

    In every layer, [z_i, f_i] <- block_i([z_i, f]) for each input i, then f <- the mean of f_i over the present inputs.
    z_i begins with its own learned token, which becomes the input's summary; `pooled` is the mean of the summaries of
    the present inputs. The cost grows with each input's tokens, not with the square of their sum."""

    Config = BottleneckConfig
    reads = "tokens"
    gives_experts = False
    experts = None

    def __init__(self, config: BottleneckConfig, dims: dict[str, int]):
        super().__init__()
        self.config, self.dim = config, config.dim
        self.inputs = Inputs(dims, config.dim)
        self.summary = nn.Parameter(torch.randn(len(dims), config.dim) * 0.2)
        self.shared = nn.Parameter(torch.randn(config.bottlenecks, config.dim) * 0.2)
        self.layers = nn.ModuleList(Named({name: _Block(config) for name in dims}) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, features: dict[str, Features]) -> Features:
        """Features of each input, T1, T2, ... tokens -> tokens float32 [B, T1 + T2 + ..., D], mask, pooled [B, D]. The
        tokens stand in the order of `dims`; neither the summaries nor the shared tokens are among them."""
        streams, packings = self._streams(features)
        present = torch.stack([features[name].present for name in streams], dim=1)  # [B, N]
        bottlenecks = self.config.bottlenecks  # M
        shared = self.shared.expand(len(present), -1, -1)  # [B, M, D]
        for layer in self.layers:
            # Each input reads and updates its own copy of the shared tokens.
            updates = []
            for name, stream in streams.items():
                packing = packings[name]
                x = layer[name](packing.pack(torch.cat([shared, stream], dim=1)), packing)
                x = packing.pad(self.norm(x) if layer is self.layers[-1] else x)
                update, streams[name] = x.split([bottlenecks, stream.shape[1]], dim=1)
                updates.append(update.flatten(1))  # [B, M * D]
            # The copies of the present inputs are averaged.
            shared = mean_of_real(torch.stack(updates, dim=1), present).unflatten(1, (bottlenecks, -1))  # [B, M, D]
        summaries = mean_of_real(torch.stack([z[:, 0] for z in streams.values()], dim=1), present)
        tokens = torch.cat([z[:, 1:] for z in streams.values()], dim=1)
        return Features(tokens, torch.cat([features[name].mask for name in streams], dim=1), summaries)

    def _streams(self, features: dict[str, Features]) -> tuple[dict[str, Tensor], dict[str, Packing]]:
        """For each input its summary and its tokens, [B, 1 + T, D], and the packing of these after the shared tokens.
        In a row that lacks the input none of them is real."""
        streams, packings = {}, {}
        for i, (name, (x, packing)) in enumerate(self.inputs.packed(features).items()):
            tokens, mask = packing.pad(x), features[name].mask
            streams[name] = torch.cat([self.summary[i].expand(len(mask), 1, -1), tokens], dim=1)
            learned = features[name].present[:, None].expand(-1, self.config.bottlenecks + 1)  # [B, M + 1]
            packings[name] = Packing.of(torch.cat([learned, mask], dim=1))
        return streams, packings


class _Block(nn.Module):
    """Self-attention and an MLP over packed tokens."""

    def __init__(self, config: BottleneckConfig):
        super().__init__()
        self.attention = SelfAttention(config.dim, config.heads, config.dropout)
        self.feed = FeedForward(config.dim, config.ratio, config.dropout)

    def forward(self, x: Tensor, packing: Packing) -> Tensor:
        """float32 [N, D] -> the same shape."""
        return self.feed(self.attention(x, packing))
