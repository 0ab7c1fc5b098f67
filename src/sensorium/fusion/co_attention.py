"""Interactive fusion: every input attends to every other."""

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from sensorium.features import Features
from sensorium.fusion.separate import mean_of_inputs
from sensorium.nn.inputs import Inputs
from sensorium.nn.named import Named
from sensorium.nn.packing import Packing
from sensorium.nn.precision import wide
from sensorium.nn.residual import Crossing, FeedForward, Keys, KeysOf, SelfAttention


class CoAttentionConfig(BaseModel, frozen=True, extra="forbid"):
    """`dim`: width of a token, a multiple of `heads`; `layers`: how often each input attends to each other one; the
    MLPs are `ratio` times as wide inside, with `dropout`."""

    dim: int = Field(128, gt=0)
    layers: int = Field(2, gt=0)
    heads: int = Field(4, gt=0)
    ratio: int = Field(4, gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)


class CoAttention(nn.Module):
    """Attention between every pair of inputs (MulT, Tsai et al. 2019, arXiv:1906.00295).

    For each input a and each other one b, Z = x_a, then `layers` times Z <- Z + attention(norm(Z), norm(x_b)) and
    Z <- Z + MLP(norm(Z)): as in MulT, every layer attends to b's own tokens, not to updated ones. Then
    y_a = norm(transformer block(W [Z of every b])); MulT runs that block at the width of the concatenation.
    The summary is the mean over the present inputs of the mean of y_a. Where b is absent, attention adds nothing."""

    Config = CoAttentionConfig
    reads = "tokens"
    gives_experts = False
    experts = None

    def __init__(self, config: CoAttentionConfig, dims: dict[str, int]):
        super().__init__()
        self.config, self.dim = config, config.dim
        self.inputs = Inputs(dims, config.dim)
        self.askers = Named({name: _Asker(config, len(dims) - 1) for name in dims})
        if len(dims) > 1:
            readers = config.layers * (len(dims) - 1)
            self.asked = Named({name: KeysOf(config.dim, config.heads, readers) for name in dims})

    def forward(self, features: dict[str, Features]) -> Features:
        """Features of each input, T1, T2, ... tokens -> tokens float32 [B, T1 + T2 + ..., D], mask, pooled [B, D]. The
        tokens stand in the order of `dims`."""
        packed = self.inputs.packed(features)
        asked = {name: iter(self.asked[name](*packed[name])) for name in packed} if len(packed) > 1 else {}
        tokens = []
        for name, asker in self.askers.items():
            # Each asker gets its own keys and values of every other input, one for each layer.
            contexts = [[next(asked[b]) for _ in range(self.config.layers)] for b in packed if b != name]
            tokens.append(packed[name][1].pad(asker(*packed[name], contexts)))  # [B, T, D]
        masks = [features[name].mask for name in packed]
        return Features(torch.cat(tokens, dim=1), torch.cat(masks, dim=1), mean_of_inputs(tokens, masks))


class _Asker(nn.Module):
    """One input: it attends to each of `contexts` other inputs, and joins their answers."""

    def __init__(self, config: CoAttentionConfig, contexts: int):
        super().__init__()
        dim, heads, ratio, dropout = config.dim, config.heads, config.ratio, config.dropout
        self.crossings = nn.ModuleList(
            nn.ModuleList(Crossing(dim, heads, dropout) for _ in range(config.layers)) for _ in range(contexts)
        )
        self.feeds = nn.ModuleList(
            nn.ModuleList(FeedForward(dim, ratio, dropout) for _ in range(config.layers)) for _ in range(contexts)
        )
        self.join = nn.Linear(contexts * dim, dim) if contexts else nn.Identity()
        self.attention = SelfAttention(dim, heads, dropout)
        self.feed = FeedForward(dim, ratio, dropout)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, packing: Packing, contexts: list[list[Keys]]) -> Tensor:
        """x float32 [N, D], packed; contexts: for each other input its keys for every layer -> float32 [N, D]."""
        answers = []
        for crossings, feeds, layers in zip(self.crossings, self.feeds, contexts, strict=True):
            answer = x
            for crossing, feed, keys in zip(crossings, feeds, layers, strict=True):
                answer = feed(crossing(answer, packing, keys))
            answers.append(answer)
        joined = wide(self.join(torch.cat(answers or [x], dim=-1)))
        return self.norm(self.feed(self.attention(joined, packing)))
