"""From an encoder's summary into a shared space."""

from typing import Any

from torch import Tensor, nn


class Projection(nn.Module):
    """pooled float [B, D] → float [B, E]: a linear map, as a rule without bias (Radford et al. 2021, arXiv:2103.00020),
    or two with a GELU between them (Chen et al. 2020, arXiv:2002.05709).

    hidden:  width of the layer between; None is the linear map.
    norm:    each summary is brought to mean 0 and variance 1 over its numbers first (LayerNorm without weights).
    dropout: of the numbers that the first map reads, in training."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = False,
        hidden: int | None = None,
        norm: bool = False,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.in_features, self.out_features, self.bias = in_features, out_features, bias
        width = hidden or in_features
        self.norm = nn.LayerNorm(in_features, elementwise_affine=False) if norm else None
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(in_features, hidden) if hidden else None
        self.linear = nn.Linear(width, out_features, bias=bias)
        nn.init.normal_(self.linear.weight, std=width**-0.5)

    @property
    def shape(self) -> list[Any]:
        """What rebuilds it: the arguments in order."""
        hidden = None if self.hidden is None else self.hidden.out_features
        return [self.in_features, self.out_features, self.bias, hidden, self.norm is not None, self.dropout.p]

    def forward(self, pooled: Tensor) -> Tensor:
        """float [B, D] → float [B, E]."""
        x = self.dropout(pooled if self.norm is None else self.norm(pooled))
        if self.hidden is not None:
            x = nn.functional.gelu(self.hidden(x))  # [B, hidden]
        return self.linear(x)
