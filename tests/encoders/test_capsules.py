"""Capsules: routing as the paper states it, and an encoder that reads how parts stand to one another."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from sensorium.encoders.image_capsules import ImageCapsules, ImageCapsulesConfig
from sensorium.errors import UserError
from sensorium.nn.capsules import Capsules, route, squash
from tests.encoders.tasks import accuracy


def plain_squash(s: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(s)
    return length**2 / (1 + length**2) * s / length


def plain_routing(votes: np.ndarray, iterations: int) -> np.ndarray:
    """Procedure 1 of Sabour et al. 2017, line by line; votes [N, M, D], in loops."""
    parts, wholes, _ = votes.shape
    b = np.zeros((parts, wholes))
    for _ in range(iterations):
        c = np.stack([np.exp(b[i]) / np.exp(b[i]).sum() for i in range(parts)])
        s = [sum(c[i, j] * votes[i, j] for i in range(parts)) for j in range(wholes)]
        v = [plain_squash(one) for one in s]
        for i in range(parts):
            for j in range(wholes):
                b[i, j] = b[i, j] + votes[i, j] @ v[j]
    return np.stack(v)


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_routing_is_the_papers(iterations):
    votes = 2 * np.random.default_rng(0).normal(size=(3, 7, 4, 5))
    found = route(torch.tensor(votes, dtype=torch.float32), iterations).wholes
    expected = np.stack([plain_routing(one, iterations) for one in votes])
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_routing_gives_more_to_the_whole_that_parts_agree_on():
    """Six parts say the same of whole 0 and contradict one another on whole 1: iterations tell the two apart."""
    votes = torch.zeros(1, 6, 2, 2)
    votes[0, :, 0] = torch.tensor([1.0, 0.0])
    votes[0, :, 1] = torch.tensor([[1.0, 0], [-1, 0.1], [0, 1], [0, -1], [1, 0], [-1, 0]])
    lengths = [route(votes, iterations).wholes[0].norm(dim=-1) for iterations in (1, 3)]
    assert lengths[1][0] > lengths[0][0] and lengths[1][1] < lengths[0][1] + 1e-3


def test_squash_keeps_directions_and_bounds_lengths():
    x = torch.tensor([[3.0, 4.0], [0.03, 0.04]], requires_grad=True)
    said = squash(x)
    torch.testing.assert_close(said.norm(dim=1), torch.tensor([25 / 26, 0.0025 / 1.0025]), rtol=1e-4, atol=0)
    torch.testing.assert_close(said[0] / said[0].norm(), x[0].detach() / 5)
    zero = torch.zeros(3, 4, requires_grad=True)
    squash(zero).sum().backward()
    assert zero.grad.isfinite().all()


def test_no_iterations_is_a_mistake():
    with pytest.raises(UserError, match="at least one iteration"):
        Capsules(4, 4, 2, 4, iterations=0)


def small(size: int = 12, **options) -> ImageCapsules:
    torch.manual_seed(0)
    shape = {"channels": 16, "parts": 4, "capsules": 6, "capsule_dim": 8, "width": 24}
    return ImageCapsules(ImageCapsulesConfig(size=size, **shape), **options)


def pictures(count: int, size: int = 12) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    pixels = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)
    return {"pixels": pixels, "mask": torch.ones(count, 1, dtype=torch.bool)}


@torch.no_grad()
def test_a_picture_alone_equals_it_in_a_batch():
    encoder, inputs = small().eval(), pictures(7)
    together = encoder(inputs)
    assert together.tokens.shape == (7, 6, 24) and together.mask.all()
    for row in range(7):
        alone = encoder({name: value[row : row + 1] for name, value in inputs.items()})
        torch.testing.assert_close(alone.pooled[0], together.pooled[row], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(alone.tokens[0], together.tokens[row], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("summary_only", [False, True])
def test_every_parameter_gets_a_gradient_from_the_summary(summary_only):
    encoder = small(summary_only=summary_only).train()
    said = encoder(pictures(5))
    (said.pooled * torch.randn_like(said.pooled)).sum().backward()
    assert [name for name, weight in encoder.named_parameters() if weight.grad is None or not weight.grad.any()] == []


@torch.no_grad()
def test_summary_only_rebuilding_and_pickling(tmp_path):
    encoder, inputs = small().eval(), pictures(3)
    encoder.processor.save(tmp_path)
    config = ImageCapsulesConfig.model_validate_json(encoder.config.model_dump_json())
    processor = pickle.loads(pickle.dumps(ImageCapsules.Processor.load(tmp_path)))
    other = ImageCapsules(config, processor, summary_only=True).eval()
    other.load_state_dict(encoder.state_dict())
    said = other(inputs)
    assert torch.equal(said.pooled, encoder(inputs).pooled)
    assert said.tokens.shape == (3, 1, 24)


@pytest.mark.parametrize(("size", "side"), [(8, 4), (12, 6), (28, 4), (64, 4), (96, 6)])
def test_the_last_map_is_small_whatever_the_size(size, side):
    encoder = small(size)
    assert encoder.capsules.weight.shape[0] == 4 * side**2
    assert encoder.eval()(pictures(1, size)).pooled.shape == (1, 24)


def test_the_size_comes_from_the_data_unless_stated():
    assert ImageCapsules.build(ImageCapsulesConfig(channels=8), [], {"height": 20.0, "width": 22.0}).config.size == 24
    assert ImageCapsules.build(ImageCapsulesConfig(channels=8), [], {"height": 900.0, "width": 2.0}).config.size == 64
    with pytest.raises(UserError, match="'size'"):
        ImageCapsules(ImageCapsulesConfig())


def reader(size: int, **options) -> ImageCapsules:
    torch.manual_seed(0)
    return ImageCapsules(ImageCapsulesConfig(size=size, channels=16, augmentation=None, **options))


def test_it_reads_digits_and_not_their_pixels_in_another_order():
    found = load_digits()
    images = (15.9 * found.images).astype(np.uint8)[..., None].repeat(3, axis=-1)  # [N, 8, 8, 3]
    rng = np.random.default_rng(0)
    order, classes = rng.permutation(len(images)), torch.tensor(found.target)
    train, test = order[:1300], order[1300:]
    right, scrambled = accuracy(
        reader(8, capsules=10),
        (list(images[train]), classes[train]),
        (list(images[test]), classes[test]),
        3,
        lambda image: rng.permutation(image.reshape(64, 3)).reshape(8, 8, 3),
    )
    assert right >= 0.95
    assert scrambled <= 0.25


PARTS = np.zeros((4, 6, 6), np.uint8)
PARTS[0, [0, 5], :] = PARTS[0, :, [0, 5]] = 250  # a square
PARTS[1, 2:4, :] = PARTS[1, :, 2:4] = 250  # a cross
PARTS[2, 4:, :] = 250  # a bar
PARTS[3][np.diag_indices(6)] = 250  # a slope


def arranged(count: int, seed: int) -> tuple[list[np.ndarray], torch.Tensor]:
    """The same four parts, each moved a little in its quarter: square and cross over bar and slope, or under them."""
    rng = np.random.default_rng(seed)
    images, classes = [], rng.integers(0, 2, count)
    for upside_down in classes:
        image = rng.integers(0, 60, (16, 16), dtype=np.uint8)
        for part, place in enumerate((2, 3, 0, 1) if upside_down else (0, 1, 2, 3)):
            top, left = 8 * (place // 2) + rng.integers(0, 3), 8 * (place % 2) + rng.integers(0, 3)
            image[top : top + 6, left : left + 6] = PARTS[part]
        images.append(image[..., None].repeat(3, axis=-1))
    return images, torch.tensor(classes)


def test_it_reads_how_parts_are_arranged_and_not_only_which_there_are():
    rng, train = np.random.default_rng(3), arranged(384, 0)

    def quarters(image: np.ndarray) -> np.ndarray:
        cut = [image[top : top + 8, left : left + 8] for top in (0, 8) for left in (0, 8)]
        one, two, three, four = (cut[place] for place in rng.permutation(4))
        return np.vstack([np.hstack([one, two]), np.hstack([three, four])])

    right, scrambled = accuracy(reader(16, parts=4, capsules=8), train, arranged(300, 1), 3, quarters)
    assert right >= 0.95
    assert abs(scrambled - 0.5) <= 0.15
