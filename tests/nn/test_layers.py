"""Attention, transformer, named modules and Inputs: masks, invariances, shared weights, gradients."""

import pytest
import torch
from torch import nn

from sensorium.errors import UserError
from sensorium.features import Features
from sensorium.nn.attention import Attention
from sensorium.nn.inputs import Inputs
from sensorium.nn.named import Named
from sensorium.nn.transformer import Transformer

ODD = ["type", "items", "a.b", "forward", "", "names", "été"]


def test_attention_is_that_of_torch():
    """Parity with nn.MultiheadAttention on the same weights, masked keys and a context of another width."""
    torch.manual_seed(0)
    ours, theirs = Attention(12, 3, context_dim=7), nn.MultiheadAttention(12, 3, kdim=7, vdim=7, batch_first=True)
    with torch.no_grad():
        theirs.q_proj_weight.copy_(ours.query.weight)
        theirs.k_proj_weight.copy_(ours.key.weight)
        theirs.v_proj_weight.copy_(ours.value.weight)
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, torch.randn(12), ours.value.bias]))
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    x, context, mask = torch.randn(4, 5, 12), torch.randn(4, 6, 7), torch.rand(4, 6) > 0.4
    mask[:, 0] = True
    expected, _ = theirs(x, context, context, key_padding_mask=~mask)
    torch.testing.assert_close(ours(x, mask, context), expected, rtol=1e-5, atol=1e-6)


def test_attention_without_any_key_is_zero_and_its_gradient_finite():
    attention = Attention(8, 2)
    x = torch.randn(2, 3, 8, requires_grad=True)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    out = attention(x, mask)
    assert (out[1] == 0).all() and (out[0] != 0).any()
    (out * torch.randn_like(out)).sum().backward()
    assert x.grad.isfinite().all() and all(p.grad.isfinite().all() for p in attention.parameters())


def test_a_width_that_does_not_divide_is_the_users_mistake():
    with pytest.raises(UserError, match="width of 10 cannot be cut into 4 heads"):
        Attention(10, 4)


@pytest.mark.parametrize("context_dim", [None, 6])
def test_transformer_row_alone_equals_row_in_padded_batch(context_dim):
    torch.manual_seed(0)
    stack = Transformer(16, 3, 4, dropout=0.3, context_dim=context_dim).eval()
    lengths, x = torch.tensor([2, 7, 4]), torch.randn(3, 7, 16)
    mask = torch.arange(7) < lengths[:, None]
    context = {} if context_dim is None else {"context": torch.randn(3, 5, 6), "context_mask": torch.rand(3, 5) > 0.5}
    batch = stack(x, mask, **context)
    for row, length in enumerate(lengths):
        one = {key: value[row : row + 1] for key, value in context.items()}
        alone = stack(x[row : row + 1, :length], mask[row : row + 1, :length], **one)
        torch.testing.assert_close(batch[row : row + 1, :length], alone, rtol=1e-5, atol=1e-5)


def test_transformer_masked_tokens_change_nothing_and_every_parameter_has_a_gradient():
    torch.manual_seed(0)
    stack = Transformer(16, 2, 4, context_dim=6)
    x, mask = torch.randn(3, 5, 16), torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]]).bool()
    context, context_mask = torch.randn(3, 4, 6), torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]).bool()
    out = stack(x, mask, context, context_mask)
    noised = stack(
        torch.where(mask[..., None], x, 9.0), mask, torch.where(context_mask[..., None], context, -7.0), context_mask
    )
    assert torch.equal(out[mask], noised[mask])
    (out[mask] * torch.randn_like(out[mask])).sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().max() > 1e-6 for p in stack.parameters())


def test_transformer_residual_stream_stays_float32_under_autocast():
    stack, x, mask = Transformer(16, 1, 4), torch.randn(2, 3, 16), torch.ones(2, 3, dtype=torch.bool)
    kinds = []
    stack.blocks[0].register_forward_hook(lambda module, inputs, output: kinds.append((inputs[0].dtype, output.dtype)))
    with torch.autocast("cpu", torch.bfloat16):
        assert stack(x.bfloat16(), mask).dtype == torch.float32
    assert kinds == [(torch.float32, torch.float32)]


def test_named_takes_any_name_and_stores_a_shared_module_once():
    shared, other = nn.Linear(3, 2), nn.Linear(3, 2)
    named = Named(dict.fromkeys(ODD, shared) | {"other": other})
    assert named.names == [*ODD, "other"] and len(named) == len(ODD) + 1
    assert all(named[name] is shared for name in ODD) and named["other"] is other
    assert "a.b" in named and "b" not in named
    assert [name for name, _ in named.items()] == named.names
    assert named.modules_once == [shared, other] and len(list(named.parameters())) == 4
    assert set(named.state_dict()) == {f"parts.{i}.{kind}" for i in range(2) for kind in ("weight", "bias")}


def test_inputs_brings_every_width_to_one_and_lets_no_noise_through():
    torch.manual_seed(0)
    dims = {name: 3 + i for i, name in enumerate(ODD)}
    inputs = Inputs(dims, 8)
    features, noised = {}, {}
    for name, dim in dims.items():
        mask = torch.rand(6, 4) > 0.6
        clean = Features(torch.randn(6, 4, dim), mask, torch.randn(6, dim))
        features[name] = clean
        noised[name] = Features(
            torch.where(mask[..., None], clean.tokens, torch.nan),
            mask,
            torch.where(clean.present[:, None], clean.pooled, torch.inf),
        )
    out, other = inputs(features), inputs(noised)
    summaries, present = inputs.summaries(noised)
    for place, name in enumerate(ODD):
        assert out[name].tokens.shape == (6, 4, 8) and out[name].pooled.shape == (6, 8)
        assert all(torch.equal(a, b) for a, b in zip(out[name], other[name], strict=True))
        assert (out[name].tokens[~out[name].mask] == 0).all() and (out[name].pooled[~out[name].present] == 0).all()
        assert torch.equal(summaries[:, place], out[name].pooled) and torch.equal(present[:, place], out[name].present)
