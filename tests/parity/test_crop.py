"""A converted model cuts the same window out of a picture as its source, at every size of the picture."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from transformers import CLIPImageProcessor

from sensorium.encoders.image_processor import ImageProcessor
from sensorium.families.clip_checkpoints import convert
from tests.parity.published import SIZE, open_clip_folder, transformers_folder

SIZES = [(height, width) for height in range(30, 101) for width in range(30, 101)]
NOISE = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)


def transformers_pair(folder: Path) -> tuple[ImageProcessor, Callable[[Tensor], Tensor]]:
    transformers_folder(folder / "theirs", "clip", "gelu")
    published = CLIPImageProcessor.from_pretrained(folder / "theirs", do_rescale=False, do_normalize=False)
    ours = convert(folder / "theirs", folder / "ours").encoders["image"].processor
    return ours, lambda pixels: published(pixels, return_tensors="pt")["pixel_values"][0]


def open_clip_pair(folder: Path) -> tuple[ImageProcessor, Callable[[Tensor], Tensor]]:
    open_clip_folder(folder / "theirs", quick=False)
    resize = v2.Resize(SIZE, v2.InterpolationMode.BICUBIC)  # what open_clip's image_transform is made of
    return convert(folder / "theirs", folder / "ours").encoders["image"].processor, v2.Compose(
        [resize, v2.CenterCrop(SIZE)]
    )


def assert_same_windows(pair: Callable, folder: Path, sizes: Iterable[tuple[int, int]]) -> None:
    ours, published = pair(folder)
    for height, width in sizes:
        picture = np.ascontiguousarray(NOISE[:height, :width])
        expected = published(torch.from_numpy(picture).permute(2, 0, 1))
        assert torch.equal(ours(picture)["pixels"].int(), expected.int()), (height, width)


@pytest.mark.parametrize("pair", [transformers_pair, open_clip_pair])
def test_the_window_is_that_of_the_source_at_200_sizes(tmp_path: Path, pair: Callable):
    assert_same_windows(pair, tmp_path, SIZES[:: len(SIZES) // 200])


@pytest.mark.slow
@pytest.mark.parametrize("pair", [transformers_pair, open_clip_pair])
def test_the_window_is_that_of_the_source_at_every_size(tmp_path: Path, pair: Callable):
    assert_same_windows(pair, tmp_path, SIZES)
