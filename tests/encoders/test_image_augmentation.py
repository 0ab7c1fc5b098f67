"""What chance does to a training picture, beyond moving and tinting it."""

import numpy as np
import torch

from sensorium.encoders.image_augmentation import ImageAugmentation, Outline, augmenter

STILL = {"zoom": 0, "shift": 0, "rotation": 0, "colour": 0}


def square_on_white(side: int = 64) -> torch.Tensor:
    """A red square on white, uint8 [3, side, side]."""
    pixels = torch.full((3, side, side), 255, dtype=torch.uint8)
    pixels[1:, side // 4 : -side // 4, side // 4 : -side // 4] = 0
    return pixels


def test_an_outline_is_black_at_the_edges_and_leaves_all_else():
    torch.manual_seed(0)
    before = square_on_white()
    after = Outline()(before)
    assert after.dtype == torch.uint8
    assert (after[:, 16, 20:40] == 0).all()  # along the upper side of the square
    assert torch.equal(after[:, :12], before[:, :12])
    assert torch.equal(after[:, 24:40, 24:40], before[:, 24:40, 24:40])
    flat = torch.full((3, 16, 16), 90, dtype=torch.uint8)
    assert torch.equal(Outline()(flat), flat)


def test_outlines_are_of_several_widths_and_treat_a_batch_alike():
    before = square_on_white(128)
    drawn = [Outline()(torch.stack([before, before])) for _ in range(20)]
    assert all(torch.equal(one[0], one[1]) for one in drawn)
    assert len({int((one[0] != before).any(dim=0).sum()) for one in drawn}) > 1


def test_grey_has_one_value_in_all_channels_and_a_turned_hue_keeps_grey():
    picture = square_on_white()
    grey = augmenter(ImageAugmentation(**STILL, grey=1.0), 64)(picture)
    assert torch.equal(grey[0], grey[1])
    assert torch.equal(grey[0], grey[2])
    assert grey.unique().numel() == 2
    hued = torch.stack([augmenter(ImageAugmentation(**STILL, hue=0.5), 64)(picture) for _ in range(8)])
    assert hued[:, :, 32, 32].unique(dim=0).shape[0] > 1
    assert (hued[:, :, 0, 0] == 255).all()


def test_blur_softens_edges():
    blurred = augmenter(ImageAugmentation(**STILL, blur=1.0), 64)(square_on_white())
    assert blurred.unique().numel() > 2


def test_what_moves_in_is_the_colour_of_the_border():
    settings = ImageAugmentation(**{**STILL, "zoom": 0.5, "shift": 0.2, "rotation": 30}, around="border")
    picture = square_on_white()
    picture[:, :, -1] = torch.arange(64, dtype=torch.uint8)  # one odd side, which the edge's pixels would smear
    for _ in range(10):
        moved = augmenter(settings, 64)(picture)
        assert moved.shape == picture.shape
        assert (moved[:, 0, :3] > 200).all(dim=0).any() or (moved[:, -1, :3] > 200).all(dim=0).any()
    still = augmenter(ImageAugmentation(**STILL, around="border"), 64)(picture)
    assert torch.equal(still, picture)


def test_settings_that_are_not_used_draw_no_chance():
    picture = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 32, 32), np.uint8))
    plain, more = augmenter(ImageAugmentation(), 32), augmenter(ImageAugmentation(grey=0, blur=0, outline=0, hue=0), 32)
    torch.manual_seed(5)
    expected = plain(picture)
    torch.manual_seed(5)
    assert torch.equal(more(picture), expected)
