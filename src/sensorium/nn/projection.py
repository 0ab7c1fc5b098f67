"""A linear map into a shared space."""

from torch import Tensor, nn


class Projection(nn.Module):
    """pooled float [B, D] → float [B, E], without bias (Radford et al. 2021, arXiv:2103.00020)."""

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.linear = nn.Linear(in_features, out_features, bias=False)

    def forward(self, pooled: Tensor) -> Tensor:
        """float [B, D] → float [B, E]."""
        return self.linear(pooled)
