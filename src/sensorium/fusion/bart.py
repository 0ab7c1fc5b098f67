"""Middle fusion by BART's encoder, as in Florence-2: the tokens of all inputs are read as those of one text."""

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from sensorium.errors import UserError
from sensorium.features import Features
from sensorium.nn.named import Named
from sensorium.nn.packing import Packing
from sensorium.nn.post_norm import Block, Shape, run, started
from sensorium.nn.precision import wide

OFFSET = 2  # rows of BART's table of positions before that of the first token
EPS = 1e-5


class BartFusionConfig(BaseModel, frozen=True, extra="forbid"):
    """`order`: all inputs, in the order that they are read in (None: as they come).

    `dim`: width of a token, a multiple of `heads`; `layers`: how many blocks; the MLPs are `ratio` times as wide
    inside; `dropout` of what each step adds; `positions`: the most tokens of a row."""

    order: list[str] | None = None
    dim: int = Field(128, gt=0)
    layers: int = Field(2, gt=0)
    heads: int = Field(4, gt=0)
    ratio: float = Field(4.0, gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)
    positions: int = Field(1024, gt=0)


class BartFusion(nn.Module):
    """Tokens of all inputs, each with the embedding of its place in the row, through blocks of self-attention and an
    MLP that are normalised after each step (Lewis et al. 2019, arXiv:1910.13461; with pictures Xiao et al. 2023,
    arXiv:2311.06242). What is absent takes no place. Tokens of the width `dim` pass as they are, others through
    LayerNorm and a linear map. Raises UserError for an order that is not that of the inputs."""

    Config = BartFusionConfig
    reads = "tokens"
    gives_experts = False
    experts = None

    def __init__(self, config: BartFusionConfig, dims: dict[str, int]):
        super().__init__()
        self.config, self.dim = config, config.dim
        self.names = config.order or list(dims)
        if sorted(self.names) != sorted(dims):
            raise UserError(
                f"The order of the fusion names {', '.join(self.names)}, and the inputs are {', '.join(dims)}; name"
                " each of them once, or leave the order out."
            )
        self.maps = Named({
            name: nn.Sequential(nn.LayerNorm(width), started(nn.Linear(width, config.dim)))
            for name, width in dims.items() if width != config.dim
        })  # fmt: skip
        shape = Shape(config.dim, config.heads, round(config.dim * config.ratio), config.dropout, EPS)
        self.places = started(nn.Embedding(config.positions + OFFSET, config.dim))
        self.norm = nn.LayerNorm(config.dim, EPS)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(config.layers))

    def forward(self, features: dict[str, Features]) -> Features:
        """Features of each input, T1, T2, ... tokens -> tokens float32 [B, T1 + T2 + ..., D], zero where masked, mask,
        and their mean as pooled [B, D]. Raises UserError for a row of more tokens than there are positions."""
        mask = torch.cat([features[name].mask for name in self.names], dim=1)  # [B, T]
        places = mask.cumsum(dim=1) - 1
        if places.numel() and int(places.max()) >= self.config.positions:
            raise UserError(
                f"A record gives {int(places.max()) + 1} tokens, and the fusion reads {self.config.positions}; shorten"
                " its texts, or take fewer inputs."
            )
        tokens = torch.cat([self._mapped(name, features[name]) for name in self.names], dim=1)
        packing = Packing.of(mask)
        x = packing.pack(tokens) + self.places(packing.pack(places) + OFFSET)  # [N, D]
        x = run(self.blocks, self.dropout(self.norm(x)), packing, [])
        tokens = packing.pad(x)  # [B, T, D]
        return Features(tokens, mask, tokens.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1))

    def _mapped(self, name: str, features: Features) -> Tensor:
        """float32 [B, T, D]; what is masked is not read further on."""
        if name not in self.maps:
            return wide(features.tokens)
        return wide(self.maps[name](wide(torch.where(features.mask[..., None], features.tokens, 0.0))))
