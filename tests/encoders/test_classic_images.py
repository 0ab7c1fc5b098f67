"""The classics through timm, with random weights: the tables of docs/encoders.md name them."""

import numpy as np
import pytest
import timm
import torch

from sensorium.encoders.timm_image import TimmConfig, TimmImage


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "side", "places", "channels", "width"), [("resnet50", 64, 4, 2048, 2048), ("vgg16", 64, 4, 512, 4096)]
)
def test_resnet_and_vgg_give_their_map_and_what_their_classifier_reads(name, side, places, channels, width):
    torch.manual_seed(0)
    encoder = TimmImage.build(TimmConfig(model=name, size=side), [], {}).train()
    assert (encoder.dim, encoder.pretrained) == (width, False)
    chance = np.random.default_rng(0)
    pictures = [chance.integers(0, 256, (side + 9 * row, side, 3), dtype=np.uint8) for row in range(3)]
    inputs = encoder.processor.pad([encoder.processor(picture) for picture in pictures])
    said = encoder(inputs)
    assert said.tokens.shape == (3, places, width) and said.mask.all()
    assert not said.tokens[..., channels:].any()
    for row, picture in enumerate(pictures):
        alone = encoder(encoder.processor.pad([encoder.processor(picture)]))
        torch.testing.assert_close(alone.pooled[0], said.pooled[row], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(alone.tokens[0], said.tokens[row], rtol=1e-5, atol=1e-5)
    plain = timm.create_model(name, num_classes=0).eval()
    plain.load_state_dict(encoder.model.state_dict())
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (encoder.config.mean, encoder.config.std))
    expected = plain((inputs["pixels"] / 255 - mean) / std)
    torch.testing.assert_close(said.pooled, expected, rtol=1e-4, atol=1e-4)
