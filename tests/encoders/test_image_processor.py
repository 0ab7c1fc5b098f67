"""Pictures to squares of bytes: geometry, augmentation, absence, round trips."""

import io
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from sensorium.data.media import image
from sensorium.encoders import image_processor
from sensorium.encoders.image_augmentation import ImageAugmentation
from sensorium.encoders.image_processor import ImageProcessor, ImageSettings
from sensorium.encoders.pixels import Normalise, size_from


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_picture_of_the_right_size_passes_unchanged_with_channels_first_in_rgb():
    value = picture(8, 8)
    pixels = ImageProcessor(ImageSettings(size=8))(value)["pixels"]
    assert pixels.dtype == torch.uint8
    assert np.array_equal(pixels.numpy(), value.transpose(2, 0, 1))


@pytest.mark.parametrize("goal", [16, 24])
def test_resizing_agrees_with_pillow(goal):
    smooth = np.asarray(Image.fromarray(picture(12, 18)).resize((60, 40), Image.Resampling.BICUBIC))
    pixels = ImageProcessor(ImageSettings(size=goal))(smooth)["pixels"].permute(1, 2, 0).numpy()
    expected = np.asarray(Image.fromarray(smooth).resize((goal, goal), Image.Resampling.BICUBIC))
    assert np.abs(pixels.astype(int) - expected.astype(int)).max() <= 2


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(480, 640), (333, 200), (225, 224)])
def test_crop_is_torchvisions_resize_and_centre_crop_of_a_pillow_image(interpolation, shape):
    smooth = np.asarray(Image.fromarray(picture(20, 30)).resize(shape[::-1], Image.Resampling.BICUBIC))
    peer = transforms.Compose(
        [transforms.Resize(112, transforms.InterpolationMode(interpolation)), transforms.CenterCrop(112)]
    )
    settings = ImageSettings(size=112, fit="crop", interpolation=interpolation)
    difference = ImageProcessor(settings)(smooth)["pixels"].int() - transforms.functional.pil_to_tensor(
        peer(Image.fromarray(smooth))
    )
    assert difference.abs().max() <= 2 and difference.abs().float().mean() < 0.1


def test_a_reduced_jpeg_ends_within_two_levels_of_a_full_one(tmp_path):
    file = io.BytesIO()
    Image.fromarray(picture(40, 60)).resize((960, 640), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    made = {}
    for jpeg in ("full", "reduced"):
        processor = ImageProcessor(ImageSettings(size=224, jpeg=jpeg))
        decoded = image.decode(file.getvalue(), tmp_path, **processor.decoding)
        assert decoded.shape[:2] == ((640, 960) if jpeg == "full" else (320, 480))
        made[jpeg] = processor(decoded)["pixels"].float()
    assert 0 < (made["full"] - made["reduced"]).abs().mean() < 2


def test_pictures_stay_channels_last_so_that_the_encoder_need_not_rearrange_them():
    processor = ImageProcessor(ImageSettings(size=32))
    batch = processor.pad([processor(picture(50, 60)), None, processor(picture(32, 32), augment=True)])
    assert batch["pixels"].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch["pixels"][0], processor(picture(50, 60))["pixels"])


def test_squash_keeps_the_edges_and_crop_keeps_the_proportions():
    value = np.zeros((32, 96, 3), np.uint8)
    value[:, :16], value[:, 40:56] = 200, 100  # one mark at the left edge, one in the middle, each half as wide as high
    squashed = ImageProcessor(ImageSettings(size=32))(value)["pixels"]
    assert squashed[0, 16, 1] > 150
    cropped = ImageProcessor(ImageSettings(size=32, fit="crop"))(value)["pixels"]
    assert torch.equal(cropped, torch.from_numpy(value).permute(2, 0, 1)[:, :, 32:64])


@pytest.mark.parametrize("fit", ["squash", "crop"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (200, 7), (31, 33), (1, 500), (500, 1)])
def test_any_shape_becomes_the_square(fit, shape):
    assert ImageProcessor(ImageSettings(size=24, fit=fit))(picture(*shape), augment=True)["pixels"].shape == (3, 24, 24)


def test_augmentation_is_drawn_from_torchs_global_state_alone():
    processor = ImageProcessor(ImageSettings(size=32))
    value = picture(32, 32)
    torch.manual_seed(3)
    np.random.seed(0)
    first = processor(value, augment=True)["pixels"]
    second = processor(value, augment=True)["pixels"]
    torch.manual_seed(3)
    np.random.seed(1)
    again = processor(value, augment=True)["pixels"]
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert torch.equal(processor(value)["pixels"], processor(value)["pixels"])


def test_augmentation_moves_in_background_and_no_black():
    processor = ImageProcessor(ImageSettings(size=32, augmentation=ImageAugmentation(colour=0, rotation=45, shift=0.3)))
    white = np.full((32, 32, 3), 255, np.uint8)
    for _ in range(20):
        assert processor(white, augment=True)["pixels"].min() == 255


def test_flips_are_off_unless_asked_for():
    still = {"zoom": 0, "shift": 0, "rotation": 0, "colour": 0}
    value = picture(16, 16)
    plain = ImageProcessor(ImageSettings(size=16, augmentation=ImageAugmentation(**still)))
    assert all(torch.equal(plain(value, augment=True)["pixels"], plain(value)["pixels"]) for _ in range(10))
    flipping = ImageProcessor(ImageSettings(size=16, augmentation=ImageAugmentation(**still, flip=1.0)))
    assert torch.equal(flipping(value, augment=True)["pixels"], plain(value)["pixels"].flip(2))


def test_no_augmentation_settings_means_none():
    processor = ImageProcessor(ImageSettings(size=16, augmentation=None))
    assert torch.equal(processor(picture(16, 16), augment=True)["pixels"], processor(picture(16, 16))["pixels"])


def test_pad_marks_the_absent():
    processor = ImageProcessor(ImageSettings(size=8))
    batch = processor.pad([None, processor(picture(8, 8)), None])
    assert batch["pixels"].shape == (3, 3, 8, 8)
    assert batch["mask"].tolist() == [[False], [True], [False]]
    assert not batch["pixels"][0].any()
    assert processor.pad([None])["mask"].tolist() == [[False]]


def test_saves_loads_and_pickles(tmp_path):
    processor = ImageProcessor(ImageSettings(size=20, fit="crop", augmentation=ImageAugmentation(flip=0.5)))
    processor.save(tmp_path)
    for other in (ImageProcessor.load(tmp_path), pickle.loads(pickle.dumps(processor))):
        assert other.settings == processor.settings
        torch.manual_seed(0)
        expected = processor(picture(40, 30), augment=True)["pixels"]
        torch.manual_seed(0)
        assert torch.equal(other(picture(40, 30), augment=True)["pixels"], expected)


def test_normalise_is_the_plain_formula():
    pixels = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = (pixels / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    torch.testing.assert_close(Normalise(mean, std)(pixels), expected)


@pytest.mark.parametrize(
    ("facts", "step", "size"),
    [
        ({"height": 8, "width": 8}, 4, 8),
        ({"height": 5, "width": 3}, 4, 8),
        ({"height": 28, "width": 28}, 4, 28),
        ({"height": 28, "width": 28}, 8, 32),
        ({"height": 480, "width": 640}, 8, 128),
        ({"height": 640, "width": 480}, 12, 120),
        ({"height": 5, "width": 3}, 16, 16),
        ({}, 8, 128),
    ],
)
def test_size_from_facts(facts, step, size):
    assert size_from(facts, step, 128) == size


@pytest.mark.parametrize("shape", [(1, 65_000), (65_000, 1), (3, 60_001)])
def test_a_thin_picture_costs_no_more_than_the_square_that_is_cut_out_of_it(shape, monkeypatch):
    value = np.full((*shape, 3), 7, np.uint8)
    middle = [slice((side - 1) // 2, side // 2 + 1) for side in shape]
    value[tuple(middle)] = 250
    resized = []
    plain = image_processor._resize
    monkeypatch.setattr(
        image_processor, "_resize", lambda pixels, goal, how: resized.append(goal) or plain(pixels, goal, how)
    )
    pixels = ImageProcessor(ImageSettings(size=224, fit="crop"))(value)["pixels"]
    assert pixels.shape == (3, 224, 224)
    assert np.prod(resized[0]) < 40 * 224**2
    assert pixels[:, 112, 112].min() > 100  # the middle is still in the middle
