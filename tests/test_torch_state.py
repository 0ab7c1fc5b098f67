"""What a caller has set of torch changes nothing of a fit, and a fit nothing of that."""

import random

import numpy as np
import pytest
import torch

import sensorium
from sensorium.nn.torch_state import usual_torch


def rows(count=24):
    generator = np.random.default_rng(0)
    numbers = generator.normal(size=(count, 2))
    return [{"a": float(a), "b": float(b), "kind": "up" if a > 0 else "down"} for a, b in numbers]


def outcome(folder):
    """The decisions of a small model, and its score."""
    run = sensorium.fit(
        rows(), folder, target="kind", epochs=2, batch_size=8, refit=False, workers=0, quiet=True, overwrite=True
    )
    model = sensorium.load(folder)
    return (
        [row["kind"]["probabilities"] for row in model.predict(rows(5))],
        model.embed(rows(3), "a").tolist(),
        sensorium.evaluate(run, rows()).to_dict()["targets"],
    )


def caller(name):
    """A context in which a caller works."""
    return {
        "no gradients": torch.no_grad,
        "inference": torch.inference_mode,
        "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
        "device": lambda: torch.device("meta"),
    }[name]()


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return outcome(tmp_path_factory.mktemp("usual"))


@pytest.mark.parametrize("name", ["no gradients", "inference", "autocast", "device"])
def test_a_callers_context_changes_nothing(name, usual, tmp_path):
    with caller(name):
        assert outcome(tmp_path) == usual
        assert torch.zeros(1).device.type == ("meta" if name == "device" else "cpu")


def test_callers_settings_and_generators_are_as_before(usual, tmp_path):
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    try:
        assert outcome(tmp_path) == usual
        assert torch.get_default_dtype() == torch.float64 and torch.are_deterministic_algorithms_enabled()
    finally:
        torch.set_default_dtype(torch.float32)
        torch.use_deterministic_algorithms(False)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]


def test_an_error_restores_too():
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(KeyError), usual_torch():
            assert torch.zeros(1).dtype == torch.float32
            raise KeyError
        assert torch.zeros(1).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
