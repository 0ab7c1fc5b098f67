"""Multi-head attention with a mask over the keys, over the sequence itself or over a context."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sensorium.errors import UserError


class Attention(nn.Module):
    """Scaled dot-product attention of `heads` heads (Vaswani et al. 2017, arXiv:1706.03762). The keys have no bias: it
    adds the same to every score of a query, which softmax cancels, so it would never receive a gradient. With `causal`
    a query attends to no key later than itself. Raises UserError when `dim` is no multiple of `heads`."""

    def __init__(
        self, dim: int, heads: int, dropout: float = 0.0, context_dim: int | None = None, causal: bool = False
    ):
        super().__init__()
        check_heads(dim, heads)
        context_dim = context_dim or dim
        self.heads, self.dropout, self.causal = heads, dropout, causal
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(context_dim, dim, bias=False)
        self.value = nn.Linear(context_dim, dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor, context: Tensor | None = None) -> Tensor:
        """For each query the mean of the values, weighted by attention: float [B, T, D]. x: float [B, T, D], the
        queries. context: float [B, S, E], what they attend to (x itself when None). mask: bool [B, S], True where a key
        is real; a row without a real key gives zeros. Where `causal`, a row's real keys are its first ones."""
        context = x if context is None else context
        query, key, value = self._split(self.query(x)), self._split(self.key(context)), self._split(self.value(context))
        any_key = mask.any(dim=1)
        # A softmax over no key is NaN, in the backward pass too: such a row attends to all keys, then is set to zero.
        allowed = (mask | ~any_key[:, None])[:, None, None]  # [B, 1, 1, S]
        if self.causal:
            allowed = allowed & torch.ones(x.shape[1], mask.shape[1], dtype=torch.bool, device=x.device).tril()
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed, dropout_p=dropout)
        out = self.out(attended.transpose(1, 2).flatten(2))  # [B, T, D]
        return torch.where(any_key[:, None, None], out, 0.0)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, heads, T, D / heads]


def check_heads(dim: int, heads: int) -> None:
    """Raises UserError when a width of `dim` cannot be cut into `heads` heads."""
    if dim % heads:
        raise UserError(f"A width of {dim} cannot be cut into {heads} heads; choose a multiple of the heads.")


def check_config_heads(width: int, heads: int) -> None:
    """The same check for the validator of a configuration with `width` and `heads`. Raises ValueError."""
    if width % heads:
        raise ValueError(f"heads ({heads}) must divide width ({width})")
