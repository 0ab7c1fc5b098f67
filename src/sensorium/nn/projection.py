"""A linear map into a shared space."""

from torch import Tensor, nn


class Projection(nn.Module):
    """pooled float [B, D] → float [B, E], as a rule without bias (Radford et al. 2021, arXiv:2103.00020)."""

    def __init__(self, in_features: int, out_features: int, bias: bool = False):
        super().__init__()
        self.in_features, self.out_features, self.bias = in_features, out_features, bias
        self.linear = nn.Linear(in_features, out_features, bias=bias)
        nn.init.normal_(self.linear.weight, std=in_features**-0.5)

    def forward(self, pooled: Tensor) -> Tensor:
        """float [B, D] → float [B, E]."""
        return self.linear(pooled)
