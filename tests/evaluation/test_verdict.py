"""Verdicts are right in planted worlds, for every seed: good, weak, at chance, below a baseline, too few records."""

import numpy as np
import pytest

import sensorium
from sensorium.evaluation.baselines import Baseline
from sensorium.evaluation.verdict import retrieval_verdict, verdict
from sensorium.metrics import Resamples, Value
from sensorium.metrics.retrieval import measure_retrieval, retrieval
from tests.evaluation.verdict_worlds import classes, labels, numbers

SEEDS = range(20)
WORLDS = {
    "works": [(classes, 300, 0.8, 0.5), (labels, 300, 0.9, 0.3), (numbers, 300, 0.8, 0.4)],
    "weak": [(classes, 800, 0.35, 0.25), (labels, 300, 0.09, 0.0), (numbers, 800, 0.36, 0.0)],
    "no better than chance": [(classes, 300, 0.25, 0.25), (labels, 300, 0.0, 0.0), (numbers, 300, 0.0, 0.0)],
    "below the baseline": [(classes, 300, 0.5, 0.75), (labels, 300, 0.4, 2.0), (numbers, 300, 0.7, 0.9)],
    "too few records to say": [(classes, 15, 0.8, 0.5), (labels, 15, 0.9, 0.1), (numbers, 15, 0.8, 0.2)],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "index"), [(kind, index) for kind in WORLDS for index in range(3)])
def test_a_verdict_is_right_for_every_seed(kind, index):
    world, *settings = WORLDS[kind][index]
    kinds = [world(seed, *settings).kind for seed in SEEDS]
    assert kinds == [kind] * len(SEEDS)


def aligned(seed: int, rows: int, signal: float) -> str:
    """The kind of the verdict on retrieval between vectors that share `signal` times a direction."""
    generator = np.random.default_rng(seed)
    shared = generator.normal(size=(rows, 16))
    a, b = (signal * shared + generator.normal(size=(rows, 16)) for _ in range(2))
    a, b = ((side / np.linalg.norm(side, axis=1, keepdims=True)).astype(np.float32) for side in (a, b))
    directions = retrieval(a, b, np.arange(rows), np.arange(rows))
    named = {"text→image": directions.forward, "image→text": directions.backward}
    measured = {name: measure_retrieval(side, Resamples(rows, None, 50)) for name, side in named.items()}
    return retrieval_verdict(measured, rows).kind


@pytest.mark.parametrize(
    ("kind", "rows", "signal"),
    [("works", 200, 2.0), ("weak", 300, 0.5), ("no better than chance", 200, 0.0), ("too few records to say", 12, 2.0)],
)
def test_a_retrieval_verdict_is_right_for_every_seed(kind, rows, signal):
    assert [aligned(seed, rows, signal) for seed in SEEDS] == [kind] * len(SEEDS)


def test_a_recall_at_1_alone_does_not_decide_on_retrieval():
    nothing, much = Value(0.01, 0.0, 0.04, 0.01), Value(0.5, 0.42, 0.58, 0.1)
    metrics = {"recall@1": nothing, "recall@10": much}
    assert retrieval_verdict({"there": metrics, "back": metrics}, 100).kind == "works"
    assert retrieval_verdict({"there": metrics, "back": {"recall@1": nothing}}, 100).kind == "no better than chance"


def test_a_sentence_has_the_numbers():
    value = Value(0.838, 0.79, 0.88, 0.25)
    rival = Baseline(Value(0.71, 0.65, 0.77), Value(0.128, 0.07, 0.19))
    found = verdict("accuracy", value, 300, {"TF-IDF of text": rival})
    assert found.sentence == (
        "It works: accuracy 0.838 (0.79 to 0.88), chance 0.250, best baseline 0.710 (TF-IDF of text)."
    )
    equal = verdict("accuracy", value, 300, {"TF-IDF of text": rival._replace(above=Value(0.01, -0.02, 0.04))})
    assert equal.kind == "works" and equal.sentence.endswith("(TF-IDF of text), which it does not measurably beat.")
    assert verdict("accuracy", Value(1.0, None, None, 0.25), 1, {}).kind == "too few records to say"


@pytest.mark.parametrize("is_part", [False, True])
def test_a_model_below_any_baseline_is_said_to_be(is_part):
    value = Value(0.8, 0.75, 0.85, 0.25)
    unclear = Baseline(Value(0.86, 0.7, 0.95), Value(-0.06, -0.15, 0.04))
    better = Baseline(Value(0.85, 0.8, 0.9), Value(-0.05, -0.08, -0.02), is_part)
    part = ", though the model has such an expert itself" if is_part else ""
    words = f"best baseline 0.850 (boosted trees), which is measurably better{part}."
    rivals = {"ridge": unclear, "boosted trees": better}
    found = verdict("accuracy", value, 300, rivals)
    assert found.kind == "below the baseline" and found.sentence.startswith("Below the baseline: accuracy 0.800")
    assert found.sentence.endswith(words)
    for kind, at_chance, units in (("no better than chance", Value(0.26, 0.2, 0.32, 0.25), 300),
                                   ("too few records to say", value, 15)):  # fmt: skip
        found = verdict("accuracy", at_chance, units, rivals)
        assert found.kind == kind and found.sentence.endswith(words)


def test_an_interval_that_holds_chance_and_much_more_says_nothing():
    assert verdict("accuracy", Value(0.7, 0.48, 0.86, 0.5), 25, {}).kind == "too few records to say"
    assert verdict("accuracy", Value(0.52, 0.46, 0.58, 0.5), 250, {}).kind == "no better than chance"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "rows", "word_tells"),
    [("works", 400, 0.9), ("no better than chance", 400, 0.0), ("too few records to say", 60, 0.9)],
)
def test_a_verdict_is_right_on_real_fits(kind, rows, word_tells, tmp_path):
    for seed in range(3):
        generator = np.random.default_rng(seed)
        label = generator.integers(0, 3, rows)
        told = np.where(generator.random(rows) < word_tells, label, generator.integers(0, 3, rows))
        texts = [f"the {['cat', 'dog', 'cow'][index]} number {generator.integers(9)}" for index in told]
        records = [{"text": text, "label": "abc"[index]} for text, index in zip(texts, label, strict=True)]
        run = sensorium.fit(
            records, tmp_path / str(seed), target="label", columns={"text": "text"}, epochs=12, test=0.3, quiet=True
        )
        assert run.report.targets[0].verdict.kind == kind
