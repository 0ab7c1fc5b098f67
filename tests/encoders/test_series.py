"""The series encoder: what it can read only from the times, and that padding, gaps and absence change nothing."""

import pickle

import numpy as np
import pytest
import torch

from sensorium.encoders.series import SeriesConfig, SeriesEncoder
from sensorium.encoders.series_processor import averaged, describe_series
from sensorium.errors import UserError
from sensorium.features import Series
from tests.encoders.tasks import accuracy


def series(times, values, channels=None) -> Series:
    values = np.asarray(values, np.float32).reshape(len(times), -1)
    names = channels or tuple(str(place) for place in range(1, values.shape[1] + 1))
    return Series(np.asarray(times, np.float64), values, names)


def some(count: int = 40, seed: int = 0) -> list[Series]:
    """Two channels with gaps, 1 to 40 readings at irregular times."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        length = int(rng.integers(1, 40))
        values = rng.normal([5, -300], [2, 100], (length, 2))
        values[rng.random((length, 2)) < 0.2] = np.nan
        found.append(series(np.sort(rng.uniform(0, 60, length)), values, ("warmth", "pressure")))
    return found


@pytest.fixture
def encoder() -> SeriesEncoder:
    torch.manual_seed(0)
    return SeriesEncoder.build(SeriesConfig(width=32, heads=2), some(), {}).eval()


def batch(encoder: SeriesEncoder, values: list, augment: bool = False) -> dict[str, torch.Tensor]:
    return encoder.processor.pad([None if value is None else encoder.processor(value, augment) for value in values])


@torch.no_grad()
def test_a_series_alone_equals_the_series_in_a_padded_batch(encoder):
    values = some(12, seed=1)
    together = encoder(batch(encoder, [*values, None]))
    assert together.present.tolist() == [True] * 12 + [False]
    for row, value in enumerate(values):
        alone = encoder(batch(encoder, [value]))
        length = len(value.times)
        torch.testing.assert_close(alone.pooled[0], together.pooled[row], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(alone.tokens[0], together.tokens[row, :length], rtol=1e-5, atol=1e-5)
        assert not together.tokens[row, length:].any()


@pytest.mark.parametrize("noise", [1000.0, float("nan")])
@torch.no_grad()
def test_noise_in_padding_and_gaps_changes_no_bit(encoder, noise):
    inputs = batch(encoder, some(8, seed=2))
    real = inputs["mask"][:, :, None]
    soiled = inputs | {
        "values": torch.where(real & ~inputs["gaps"], inputs["values"], noise),
        "times": torch.where(inputs["mask"], inputs["times"], noise),
    }
    assert all(torch.equal(one, two) for one, two in zip(encoder(inputs), encoder(soiled), strict=True))


def test_every_parameter_gets_a_gradient_from_the_summary(encoder):
    said = encoder.train()(batch(encoder, some(8)))
    (said.pooled * torch.randn_like(said.pooled)).sum().backward()
    assert [name for name, weight in encoder.named_parameters() if weight.grad is None or not weight.grad.any()] == []


@torch.no_grad()
def test_summary_only_rebuilding_and_pickling(encoder, tmp_path):
    encoder.processor.save(tmp_path)
    config = SeriesConfig.model_validate_json(encoder.config.model_dump_json())
    processor = pickle.loads(pickle.dumps(SeriesEncoder.Processor.load(tmp_path)))
    other = SeriesEncoder(config, processor, summary_only=True).eval()
    other.load_state_dict(encoder.state_dict())
    values = some(5, seed=3)
    said = other(batch(other, values))
    assert torch.equal(said.pooled, encoder(batch(encoder, values)).pooled)
    assert said.tokens.shape == (5, 1, 32)
    assert processor.decoding == {"channels": ["warmth", "pressure"]}


def test_unbuilt_it_says_what_is_missing():
    with pytest.raises(UserError, match="'channels', 'step' and 'span'"):
        SeriesEncoder(SeriesConfig())


def test_channels_steps_and_spans_are_learned_from_training_values():
    values = [series([0, 1, 2, 3], [1, 2, 3, np.nan], ("a",)), series([0, 10, 20], [[7], [7], [7]], ("b",))]
    learned = describe_series(values, max_readings=256)
    assert [(one.name, one.median, one.scale) for one in learned.channels] == [("a", 2.0, 1.0), ("b", 7.0, 1.0)]
    assert (learned.step, learned.span) == (1.0, 20.0)
    assert describe_series([series([5], [3.0])], 256)[1:] == (1.0, 1.0)


def test_values_that_do_not_go_together():
    with pytest.raises(ValueError, match="2 values a reading and others 1"):
        describe_series([series([0], [[1, 2]]), series([0], [1])], 256)
    with pytest.raises(ValueError, match="name their channels and others do not"):
        describe_series([series([0], [1], ("a",)), series([0], [1])], 256)


def test_many_readings_become_means_of_runs():
    times, values = averaged(np.arange(7.0), np.array([[1], [3], [np.nan], [5], [np.nan], [np.nan], [9.0]]), 3)
    assert times.tolist() == [0.5, 2.5, 5.0]
    np.testing.assert_allclose(values, [[2], [5], [9]])
    times, values = averaged(np.arange(4.0), np.array([[np.nan], [np.nan], [1], [2]]), 2)
    assert np.isnan(values[0, 0]) and values[1, 0] == 1.5


def test_a_date_is_nothing_to_it_and_an_outlier_stays_finite(encoder):
    one = some(1, seed=5)[0]
    later = one._replace(times=one.times + 1.7e9)
    torch.testing.assert_close(encoder(batch(encoder, [one])).pooled, encoder(batch(encoder, [later])).pooled)
    wild = series([0, 1e9], [[3e38, 1], [np.nan, -3e38]], ("warmth", "pressure"))
    assert encoder(batch(encoder, [wild])).pooled.isfinite().all()


def test_augmentation_is_a_function_of_the_random_state(encoder):
    one = max(some(), key=lambda value: len(value.times))
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(encoder.processor(one, augment=True))
    assert all(torch.equal(drawn[0][name], drawn[1][name]) for name in drawn[0])
    assert any(
        drawn[0][name].shape != drawn[2][name].shape or drawn[0][name].ne(drawn[2][name]).any() for name in drawn[0]
    )
    assert torch.equal(encoder.processor(one)["values"], encoder.processor(one)["values"])


RNG = np.random.default_rng(7)


def pulses(count: int, seed: int) -> tuple[list[Series], torch.Tensor]:
    """A swing down and then up, or up and then down, of the same values, at irregular times and with gaps."""
    rng, found, classes = np.random.default_rng(seed), [], rng_classes(count, seed)
    for down in classes:
        length = int(rng.integers(15, 30))
        times, middle = np.sort(rng.uniform(0, 10, length)), rng.uniform(3, 7)
        values = (1 - 2 * down) * np.sign(times - middle) * np.exp(-np.abs(times - middle) / 1.5)
        values += 0.05 * rng.normal(size=length)
        values[rng.random(length) < 0.1] = np.nan
        found.append(series(times, values))
    return found, torch.tensor(classes)


def sines(count: int, seed: int) -> tuple[list[Series], torch.Tensor]:
    """Sines of one of two frequencies and any phase, read at 40 random times: their order alone says nothing."""
    rng, found, classes = np.random.default_rng(seed), [], rng_classes(count, seed)
    for fast in classes:
        times = np.sort(rng.uniform(0, 10, 40))
        found.append(series(times, np.sin(2 * np.pi * ((1.0, 2.0)[fast] * times + rng.uniform()))))
    return found, torch.tensor(classes)


def rng_classes(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed + 1000).integers(0, 2, count)


def built(train: tuple[list[Series], torch.Tensor]) -> SeriesEncoder:
    torch.manual_seed(0)
    return SeriesEncoder.build(SeriesConfig(width=32, heads=2, dropout=0.0), train[0], {})


def test_it_reads_the_order_in_time():
    train = pulses(256, 0)
    right, scrambled = accuracy(
        built(train), train, pulses(200, 1), 8, lambda one: one._replace(values=RNG.permutation(one.values))
    )
    assert right >= 0.9
    assert abs(scrambled - 0.5) <= 0.15


def test_it_reads_the_true_times_and_not_only_their_order():
    train = sines(512, 0)
    right, scrambled = accuracy(
        built(train), train, sines(200, 1), 8, lambda one: one._replace(times=np.linspace(0, 10, len(one.times)))
    )
    assert right >= 0.9
    assert abs(scrambled - 0.5) <= 0.15


def test_a_rate_is_the_change_from_the_channels_last_value_however_long_ago(encoder):
    times, values = [0.0, 2.0, 5.0, 5.0], [[1.0, np.nan], [np.nan, 4.0], [7.0, 10.0], [8.0, np.nan]]
    inputs = encoder.processor.pad([encoder.processor(series(times, values, ("warmth", "pressure")))])
    real = ~inputs["gaps"]
    found = encoder._rates(torch.nan_to_num(torch.tensor([values])), real, inputs["times"])[0]
    step = encoder.config.step
    expected = torch.tensor([[0, 0], [0, 0], [6 / 5 * step, 6 / 3 * step], [1 / 0.1, 0]])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
