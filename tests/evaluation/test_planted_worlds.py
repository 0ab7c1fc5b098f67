"""Worlds whose truth is known, through the whole of `fit`: what the inputs' table says of them has to be so."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import sensorium
from sensorium.evaluation.decided import decided
from sensorium.evaluation.saved_scores import SavedScores

ROWS = 600


def world(kind: str, seed: int) -> pd.DataFrame:
    """Columns a, b, noise and the class y, of ROWS records."""
    generator = np.random.default_rng(seed)
    a, b = generator.integers(0, 2, ROWS), generator.integers(0, 2, ROWS)
    if kind == "redundant":
        b = a
    truth = {"one": a, "redundant": a, "xor": a ^ b, "noise": a}[kind]
    if kind == "noise":
        truth = np.where(generator.random(ROWS) < 0.1, 1 - truth, truth)
    return pd.DataFrame(
        {
            "a": a + generator.normal(0, 0.15, ROWS),
            "b": b + generator.normal(0, 0.15, ROWS),
            "noise": generator.normal(size=ROWS),
            "y": np.where(truth, "yes", "no"),
        }
    )


def fitted(kind: str, folder: Path, seed: int = 0) -> dict[str, Any]:
    """metrics.json of `fit` with its defaults, a third of the records held out."""
    run = sensorium.fit(world(kind, seed), folder / f"{kind}-{seed}", target="y", test=1 / 3, seed=seed, quiet=True)
    return run.metrics


def test_only_one_input_decides(tmp_path):
    found = fitted("one", tmp_path)
    inputs = found["inputs"]["y"]
    assert found["targets"]["y"]["accuracy"]["value"] > 0.97
    assert inputs["a"]["alone"]["value"] > 0.97 and inputs["a"]["without"]["high"] < 0.65
    assert inputs["a"]["shapley"]["low"] > 0.4
    for idle in ("b", "noise"):
        assert inputs[idle]["without"]["value"] > 0.97 and abs(inputs[idle]["shapley"]["value"]) < 0.05


def test_the_exclusive_or_of_two_is_learned_and_needs_both(tmp_path):
    found = fitted("xor", tmp_path)
    inputs, together = found["inputs"]["y"], found["targets"]["y"]["accuracy"]
    assert together["value"] > 0.95
    for half in ("a", "b"):
        for kind in ("alone", "without"):
            assert inputs[half][kind]["low"] <= together["chance"] + 0.02 and inputs[half][kind]["high"] > 0.48
        assert inputs[half]["shapley"]["low"] > 0.15


def test_a_redundant_input_can_go_without_loss(tmp_path):
    inputs = fitted("redundant", tmp_path)["inputs"]["y"]
    for twin in ("a", "b"):
        assert inputs[twin]["alone"]["value"] > 0.95 and inputs[twin]["without"]["value"] > 0.95
        assert inputs[twin]["shapley"]["low"] > 0.1


def test_where_an_input_decides_only_for_a_tenth_of_the_records_they_are_found(tmp_path):
    generator = np.random.default_rng(0)
    usual, other, speaks = generator.integers(0, 2, 1200), generator.integers(0, 2, 1200), generator.random(1200) < 0.2
    table = pd.DataFrame(
        {
            "a": 2 * usual - 1 + generator.normal(0, 0.15, 1200),
            "b": np.where(speaks, 2 * other - 1, 0) + generator.normal(0, 0.15, 1200),
            "y": np.where(np.where(speaks, other, usual), "yes", "no"),
        }
    )
    run = sensorium.fit(table, tmp_path / "run", target="y", test=1 / 2, quiet=True)
    scores = SavedScores.of(run.report.samples, run.metrics)
    found = decided(scores, scores.target("y"), "b", ["a", "b"])
    planted = {str(row + 1) for row in np.flatnonzero(speaks & (usual != other))} & set(scores.keys)
    helped = {scores.keys[row] for row in found.helped}
    assert 0.05 < len(planted) / len(scores.keys) < 0.15
    assert len(helped & planted) >= 0.9 * len(planted) and len(helped - planted) <= 0.05 * len(planted)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert f"b: right only with it in {len(helped)} records" in page


@pytest.mark.slow
def test_the_interval_of_pure_noise_covers_zero(tmp_path):
    values = [fitted("noise", tmp_path, seed)["inputs"]["y"]["noise"]["shapley"] for seed in range(20)]
    covers = [value["low"] <= 0 <= value["high"] for value in values]
    print(f"covers zero in {sum(covers)} of 20: {[round(value['value'], 3) for value in values]}")
    assert sum(covers) >= 18
