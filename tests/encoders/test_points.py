"""The points encoder: no order of the points changes what it says, and shapes are read from where points lie."""

import pickle

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from sensorium.encoders.points import PointsConfig, PointsEncoder
from sensorium.encoders.points_processor import PointsScale, describe_points
from sensorium.errors import UserError
from tests.encoders.tasks import accuracy


def some(count: int = 40, seed: int = 0, numbers: int = 4) -> list[np.ndarray]:
    """Sets of 1 to 50 points: three coordinates and a further number."""
    rng = np.random.default_rng(seed)
    sets = [rng.normal([1, -5, 100, 1000][:numbers], 3.0, (int(rng.integers(1, 50)), numbers)) for _ in range(count)]
    return [points.astype(np.float32) for points in sets]


@pytest.fixture
def encoder() -> PointsEncoder:
    torch.manual_seed(0)
    return PointsEncoder.build(PointsConfig(width=32), some(), {}).eval()


def batch(encoder: PointsEncoder, values: list, augment: bool = False) -> dict[str, torch.Tensor]:
    return encoder.processor.pad([None if value is None else encoder.processor(value, augment) for value in values])


@torch.no_grad()
def test_no_order_of_the_points_changes_what_it_says(encoder):
    rng = np.random.default_rng(1)
    for points in some(10, seed=1):
        inputs, order = batch(encoder, [points]), rng.permutation(len(points))
        shuffled = encoder(inputs | {"points": inputs["points"][:, order]})
        torch.testing.assert_close(shuffled.pooled, encoder(inputs).pooled, rtol=0, atol=1e-6)
        torch.testing.assert_close(shuffled.tokens, encoder(inputs).tokens[:, order], rtol=0, atol=3e-6)
        again = batch(encoder, [points[order]])
        assert torch.equal(again["points"], inputs["points"]), "the processor sorts, so even the bits are the same"


@torch.no_grad()
def test_too_many_points_are_thinned_and_still_no_order_counts():
    torch.manual_seed(0)
    encoder = PointsEncoder.build(PointsConfig(width=32, max_points=20), some(), {}).eval()
    points = np.random.default_rng(0).normal(size=(5000, 4)).astype(np.float32)
    one = encoder.processor(points)["points"]
    assert one.shape == (20, 4)
    assert torch.equal(one, encoder.processor(points[::-1])["points"])
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(encoder.processor(points, augment=True)["points"])
    assert drawn[0].shape == (20, 4) and torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


@torch.no_grad()
def test_a_set_alone_equals_the_set_in_a_padded_batch(encoder):
    values = some(12, seed=1)
    together = encoder(batch(encoder, [*values, None]))
    assert together.present.tolist() == [True] * 12 + [False]
    for row, value in enumerate(values):
        alone = encoder(batch(encoder, [value]))
        torch.testing.assert_close(alone.pooled[0], together.pooled[row], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(alone.tokens[0], together.tokens[row, : len(value)], rtol=1e-5, atol=1e-5)
        assert not together.tokens[row, len(value) :].any()


@pytest.mark.parametrize("noise", [1000.0, float("nan")])
@torch.no_grad()
def test_noise_in_the_padding_changes_no_bit(encoder, noise):
    inputs = batch(encoder, some(8, seed=2))
    soiled = inputs | {"points": torch.where(inputs["mask"][:, :, None], inputs["points"], noise)}
    assert all(torch.equal(one, two) for one, two in zip(encoder(inputs), encoder(soiled), strict=True))


def test_every_parameter_gets_a_gradient_from_the_summary(encoder):
    said = encoder.train()(batch(encoder, some(8)))
    (said.pooled * torch.randn_like(said.pooled)).sum().backward()
    assert [name for name, weight in encoder.named_parameters() if weight.grad is None or not weight.grad.any()] == []


@torch.no_grad()
def test_summary_only_rebuilding_and_pickling(encoder, tmp_path):
    encoder.processor.save(tmp_path)
    config = PointsConfig.model_validate_json(encoder.config.model_dump_json())
    processor = pickle.loads(pickle.dumps(PointsEncoder.Processor.load(tmp_path)))
    other = PointsEncoder(config, processor, summary_only=True).eval()
    other.load_state_dict(encoder.state_dict())
    values = some(5, seed=3)
    said = other(batch(other, values))
    assert torch.equal(said.pooled, encoder(batch(encoder, values)).pooled)
    assert said.tokens.shape == (5, 1, 32)
    assert processor.decoding == {"numbers_each": 4}


def test_one_scale_for_all_coordinates_and_one_for_each_further_number():
    rng = np.random.default_rng(0)
    points = rng.normal([10, 20, 30, 40], [1, 5, 2, 100], (4000, 4)).astype(np.float32)
    found = describe_points([points[:2000], points[2000:]], None)
    assert found.coordinates == 3
    assert found.scale[0] == found.scale[1] == found.scale[2] == pytest.approx(5 * 1.349, rel=0.2)
    assert found.scale[3] == pytest.approx(134.9, rel=0.2)
    assert found.centre == pytest.approx([10, 20, 30, 40], rel=0.2)
    assert describe_points([points[:, :2]], None).coordinates == 2
    assert describe_points([np.ones((3, 2), np.float32)], None).scale == [1.0, 1.0]


def test_what_does_not_go_together():
    with pytest.raises(ValueError, match="4 numbers and others 3"):
        describe_points([*some(1), *some(1, numbers=3)], None)
    with pytest.raises(ValueError, match="fewer than the 3 coordinates"):
        describe_points(some(1, numbers=2), 3)
    with pytest.raises(UserError, match="'scale'"):
        PointsEncoder(PointsConfig())
    with pytest.raises(ValidationError):
        PointsScale(coordinates=3, centre=[0, 0], scale=[1, 1])


@torch.no_grad()
def test_an_outlier_and_repeated_points_stay_finite(encoder):
    wild = np.array([[3e38, -3e38, 0, 1]] * 3, np.float32)
    assert encoder(batch(encoder, [wild])).pooled.isfinite().all()


def shapes(count: int, seed: int) -> tuple[list[np.ndarray], torch.Tensor]:
    """Points of a circle, of a square's outline or of two blobs, turned, scaled and moved, in any order."""
    rng = np.random.default_rng(seed)
    found, classes = [], rng.integers(0, 3, count)
    for kind in classes:
        size, angle = int(rng.integers(40, 80)), rng.uniform(0, 2 * np.pi)
        around = rng.uniform(0, 2 * np.pi, size)
        points = np.stack([np.cos(around), np.sin(around)], axis=1)
        if kind == 1:
            points /= np.abs(points).max(axis=1, keepdims=True)
        if kind == 2:
            points = 0.3 * rng.normal(size=(size, 2)) + np.where(rng.random((size, 1)) < 0.5, [[1, 0]], [[-1, 0]])
        turned = points @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turned = turned * rng.uniform(0.6, 1.6) + 0.3 * rng.normal(size=2) + 0.02 * rng.normal(size=(size, 2))
        found.append(turned.astype(np.float32))
    return found, torch.tensor(classes)


def test_it_reads_shapes_from_how_coordinates_belong_together():
    rng, train = np.random.default_rng(5), shapes(512, 0)
    torch.manual_seed(0)
    encoder = PointsEncoder.build(PointsConfig(width=32, dropout=0.0), train[0], {})
    right, scrambled = accuracy(
        encoder, train, shapes(200, 1), 10, lambda one: np.stack([one[:, 0], rng.permutation(one[:, 1])], axis=1)
    )
    assert right >= 0.9
    assert abs(scrambled - 1 / 3) <= 0.15
