"""Spoiled inputs: what each way of spoiling does to a value, and what the curves say in a world where it is known."""

import numpy as np
import pytest
import torch

from sensorium.data.media.series import Series
from sensorium.data.media.video import Video
from sensorium.data.read import read
from sensorium.data.schema import InputSpec
from sensorium.data.table import Table
from sensorium.evaluation.corruptions import Corrupted, corruptions
from sensorium.evaluation.robustness import robustness, trials
from sensorium.runs.run import fit

CHANCE = np.random.default_rng(0)
VALUES = {
    "image": CHANCE.integers(0, 255, (24, 20, 3), dtype=np.uint8),
    "audio": CHANCE.standard_normal(800).astype(np.float32) / 4,
    "text": "a lovely lamp that I would buy again for the kitchen any day",
    "video": Video(CHANCE.integers(0, 255, (3, 12, 12, 3), dtype=np.uint8), np.arange(3, dtype=np.float32)),
    "series": Series(np.arange(60.0), CHANCE.standard_normal((60, 2)), ("a", "b")),
    "points": CHANCE.standard_normal((50, 3)).astype(np.float32),
    "table": {"size": 2.0, "colour": "red"},
}


class Kept:
    """A processor that hands on what it is given."""

    decoding: dict = {}  # noqa: RUF012

    def __call__(self, value, augment=False):
        return value

    def pad(self, items):
        return items


def cells() -> Table:
    records = [{"size": str(float(row)), "colour": ("red", "blue")[row % 2]} for row in range(8)]
    return read(records, columns={"size": "number", "colour": "category"}, quiet=True)


def distance(one, other) -> float:
    """How different two values of a kind are."""
    if isinstance(one, np.ndarray):
        return np.inf if one.shape != other.shape else float(np.abs(one.astype(float) - other).mean())
    if isinstance(one, tuple):
        return max(distance(a, b) for a, b in zip(one, other, strict=True) if isinstance(a, np.ndarray))
    if isinstance(one, dict):
        return abs(one["size"] - other["size"])
    return float(one != other)


@pytest.mark.parametrize("modality", VALUES)
def test_every_way_of_spoiling_changes_a_value_of_its_kind_more_and_more_and_always_alike(modality):
    columns = ["size", "colour"] if modality == "table" else ["it"]
    value = VALUES[modality]
    for way in corruptions(InputSpec(name="it", modality=modality, columns=columns), cells()):
        assert len(way.strengths) == 5
        spoiled = [Corrupted(Kept(), way, strength)(value) for _, strength in way.strengths]
        again = [Corrupted(Kept(), way, strength)(value) for _, strength in way.strengths]
        assert all(type(one) is type(value) for one in spoiled)
        assert [distance(a, b) for a, b in zip(spoiled, again, strict=True)] == [0] * 5
        far = [distance(one, value) for one in spoiled]
        assert far[-1] > 0 and far[-1] >= far[0], way.name
        if modality in ("image", "audio"):
            assert spoiled[-1].shape == value.shape and spoiled[-1].dtype == value.dtype


def test_noise_of_a_sound_has_the_loudness_it_says():
    (noise, _) = corruptions(InputSpec(name="it", modality="audio", columns=["it"]), cells())
    sound = (np.sin(np.arange(20_000)) / 8).astype(np.float32)
    for _, decibels in noise.strengths:
        hiss = noise.spoil(sound, decibels, np.random.default_rng(0)) - sound
        assert 20 * np.log10(sound.std() / hiss.std()) == pytest.approx(decibels, abs=0.6)


def test_curves_fall_for_the_input_that_matters_and_for_no_other(tmp_path):
    chance = np.random.default_rng(1)
    sizes, others = chance.standard_normal((2, 160))
    records = [
        {"size": f"{a:.3f}", "other": f"{b:.3f}", "big": "yes" if a > 0 else "no"}
        for a, b in zip(sizes, others, strict=True)
    ]
    columns = {"size": "number", "other": "number"}
    run = fit(records, tmp_path / "run", target="big", columns=columns, epochs=12, quiet=True, workers=0, seed=1)
    table = run.model.read(records)
    done = []
    curves = {one.input: one for one in robustness(run.model, table, {"big": "accuracy"}, advance=done.append)}
    assert sum(done) == trials(run.model, table)
    matters, nothing = curves["size"], curves["other"]
    assert matters.values[0].value > 0.9 and matters.values[-1].value < matters.values[0].value - 0.15
    assert matters.without.value < 0.75
    assert abs(nothing.values[-1].value - nothing.values[0].value) < 0.1
    assert matters.strengths[0] == "as it is" and matters.records == 150
    torch.manual_seed(5)
    assert robustness(run.model, table, {"big": "accuracy"})[0] == curves["size"]
