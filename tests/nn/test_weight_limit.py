"""Sizes that do not fit the weights of a checkpoint are told before anything large is built."""

import time
from pathlib import Path

import pytest
from safetensors.torch import save_file
from torch import nn

from sensorium.nn.weight_limit import limit_weights


@pytest.mark.parametrize(
    "build",
    [lambda: nn.Embedding(10**9, 768, device="meta"), lambda: nn.ModuleList(nn.Linear(2, 2) for _ in range(10**8))],
)
def test_far_more_weights_than_the_file_has(tmp_path: Path, build):
    save_file(nn.Linear(3, 3).state_dict(), tmp_path / "model.safetensors")
    start = time.monotonic()
    with (
        pytest.raises(ValueError, match="far more weights than model.safetensors"),
        limit_weights(tmp_path / "model.safetensors"),
    ):
        build()
    assert time.monotonic() - start < 20
    with limit_weights(tmp_path / "model.safetensors"):
        nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    nn.Embedding(10**9, 768, device="meta")  # the bound has gone
