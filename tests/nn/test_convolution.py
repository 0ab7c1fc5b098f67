"""The residual block: what it computes, and what padding may not do to it."""

from functools import partial

import pytest
import torch

from sensorium.nn.convolution import LineNorm, Residual, group_norm, halved


@pytest.mark.parametrize(("outputs", "stride", "shape"), [(8, 1, (8, 9, 6)), (12, 1, (12, 9, 6)), (8, 2, (8, 5, 3))])
def test_shapes_with_and_without_a_stride(outputs, stride, shape):
    block = Residual(8, outputs, (group_norm, group_norm), stride)
    assert block(torch.randn(2, 8, 9, 6)).shape == (2, *shape)


def test_without_weights_it_hands_its_input_on():
    block = Residual(8, 8, (group_norm, group_norm))
    torch.nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 8, 5, 5)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("stride", [1, 2])
@torch.no_grad()
def test_lines_that_are_masked_do_not_reach_the_others(stride):
    norms = partial(LineNorm, width=6), partial(LineNorm, width=6 // stride)
    block = Residual(8, 16, norms, stride).eval()
    x = torch.randn(3, 8, 11, 6)
    lengths = torch.tensor([11, 4, 7])
    mask = torch.arange(11) < lengths[:, None]
    soiled = torch.where(mask[:, None, :, None], x, 1e4)
    after = halved(mask) if stride == 2 else mask
    for row, length in enumerate(lengths.tolist()):
        alone = block(x[row : row + 1, :, :length], mask[row : row + 1, :length])
        real = int(after[row].sum())
        assert alone.shape[2] == real
        torch.testing.assert_close(block(soiled, mask)[row : row + 1, :, :real], alone, rtol=1e-5, atol=1e-5)


def test_the_sum_stays_float32_under_autocast():
    block = Residual(8, 8, (group_norm, group_norm))
    with torch.autocast("cpu", torch.bfloat16):
        assert block(torch.randn(1, 8, 4, 4)).dtype == torch.float32


@pytest.mark.parametrize("channels", [1, 6, 8, 20, 64])
def test_groups_divide_the_channels(channels):
    assert group_norm(channels)(torch.randn(1, channels, 3, 3)).shape == (1, channels, 3, 3)
