"""Scaled dot-product attention, by whichever of two ways is faster on the device."""

import torch
from torch import Tensor
from torch.nn import functional as F

# On a CPU, up to so many keys, three plain steps are faster in both passes than the fused kernel, whose backward pass
# is slow there: at 50 tokens, 1.5 times as fast in float32 and 4 times in bfloat16.
SHORT = {torch.float32: 64, torch.bfloat16: 256}


def attend(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None = None, causal: bool = False) -> Tensor:
    """Scaled dot-product attention, float [B, heads, T, d]. query: [B, heads, T, d]; key, value: [B, heads, S, d].
    allowed: bool, broadcasts to [B, heads, T, S], the keys that a query attends to, at least one; None for all. causal:
    a query attends to no later key. At most one of the two is given."""
    if query.device.type != "cpu" or key.shape[2] > SHORT.get(query.dtype, 0):
        return F.scaled_dot_product_attention(query, key, value, allowed, is_causal=causal)
    if causal:
        allowed = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)  # [B, heads, T, S]
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -torch.inf)
    return scores.softmax(dim=-1, dtype=value.dtype) @ value  # without a dtype, autocast casts to float32 and back
