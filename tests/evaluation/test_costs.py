"""The work that a pass takes, against what its sizes say."""

import pytest
import torch
from torch import nn

from sensorium.evaluation.costs import multiply_adds

LENGTH, WIDTH, HEADS = 16, 8, 4


def attend() -> torch.Tensor:
    query = torch.randn(1, HEADS, LENGTH, WIDTH)
    return nn.functional.scaled_dot_product_attention(query, query, query)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (lambda: nn.Linear(WIDTH, 5)(torch.randn(LENGTH, WIDTH)), LENGTH * WIDTH * 5),
        (lambda: nn.Conv2d(3, 4, 3)(torch.randn(1, 3, 8, 8)), 6 * 6 * 4 * 3 * 9),
        (attend, 2 * HEADS * LENGTH * LENGTH * WIDTH),
        (lambda: nn.LSTM(WIDTH, 6)(torch.randn(LENGTH, 1, WIDTH)), LENGTH * 4 * 6 * (WIDTH + 6)),
        (lambda: nn.GRU(WIDTH, 6)(torch.randn(LENGTH, 1, WIDTH)), LENGTH * 3 * 6 * (WIDTH + 6)),
    ],
    ids=["linear", "convolution", "attention", "lstm", "gru"],
)
def test_the_work_of_a_layer_is_what_its_sizes_say(run, expected):
    assert multiply_adds(run) == expected
