import numpy as np
import pytest
import torch

from sensorium.encoders.image_augmentation import ImageAugmentation
from sensorium.encoders.image_processor import ImageProcessor, ImageSettings


@pytest.mark.parametrize("seed", range(6))
def test_points_follow_the_change_that_the_same_random_state_draws_for_the_picture(seed):
    settings = ImageSettings(size=64, augmentation=ImageAugmentation(colour=0.0, flip=0.5, rotation=20.0, zoom=0.2))
    processor = ImageProcessor(settings)
    picture = np.zeros((64, 64, 3), dtype=np.uint8)
    picture[18:23, 38:43] = 255  # a spot around x 40.5, y 20.5
    torch.manual_seed(seed)
    pixels = processor(picture, augment=True)["pixels"][0].float()
    torch.manual_seed(seed)
    x, y = processor.move([40.5 / 64, 20.5 / 64])
    lines, columns = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    spot = [float((axis * pixels).sum() / pixels.sum()) for axis in (columns, lines)]
    assert [64 * x, 64 * y] == pytest.approx(spot, abs=0.8)


def test_what_cannot_be_followed_says_so():
    assert ImageProcessor(ImageSettings(size=64)).can_move
    assert ImageProcessor(ImageSettings(size=64, augmentation=None)).move([0.1, 0.2]) == [0.1, 0.2]
    assert not ImageProcessor(ImageSettings(size=64, fit="crop")).can_move
    assert not ImageProcessor(ImageSettings(size=64, augmentation=ImageAugmentation(around="border"))).can_move
    assert not ImageProcessor(ImageSettings(size=64, augmentation=ImageAugmentation(outline=0.5))).can_move
