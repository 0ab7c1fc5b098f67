"""Attention, activation and packing against their plain formulas, forwards and backwards."""

import pytest
import torch
from torch.nn import functional as F

from sensorium.nn.activation import ACTIVATIONS, quick_gelu
from sensorium.nn.attend import attend
from sensorium.nn.packing import Packing


def test_quick_gelu_is_its_formula_and_keeps_one_tensor():
    x = torch.linspace(-8, 8, 101, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(quick_gelu(x), x * torch.sigmoid(1.702 * x))
    assert torch.autograd.gradcheck(quick_gelu, x)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda value: kept.append(value) or value, lambda value: value):
        for activation in ACTIVATIONS.values():
            activation(x.float().requires_grad_())
    assert len(kept) == len(ACTIVATIONS)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("keys", [20, 100])
def test_attention_is_the_fused_kernels(causal: bool, keys: int):
    torch.manual_seed(0)
    parts = [torch.randn(2, 3, keys, 8, requires_grad=True) for _ in range(3)]
    allowed = None if causal else torch.rand(2, 1, 1, keys) < 0.7
    results = []
    for function in (
        attend,
        lambda q, k, v, mask, is_causal: F.scaled_dot_product_attention(q, k, v, mask, 0.0, is_causal),
    ):
        out = function(*parts, allowed, causal)
        results.append((out, *torch.autograd.grad(out.square().sum(), parts)))
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_packing_takes_out_what_it_puts_in():
    mask = torch.tensor([[True, True, False], [True, False, False], [True, True, True]])
    packing = Packing.of(mask)
    x = torch.randn(3, 3, 2, dtype=torch.float64, requires_grad=True)
    packed = packing.pack(x)
    assert torch.equal(packed, x[mask])
    assert torch.equal(packing.pad(packed), torch.where(mask[:, :, None], x, 0.0))
    assert torch.equal(packed[packing.index(torch.tensor([1, 0, 2]))], x[[0, 1, 2], [1, 0, 2]])
    assert torch.autograd.gradcheck(packing.pack, x)
    assert torch.autograd.gradcheck(packing.pad, packed.detach().requires_grad_())
    full = Packing.of(torch.ones(3, 3, dtype=torch.bool))
    assert full.positions is None
    assert torch.equal(full.pad(full.pack(x)), x)
