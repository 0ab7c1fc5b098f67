"""Few-shot: a probe on frozen embeddings, drawn and scored apart, beside zero-shot; means over draws."""

import json

import numpy as np
import pyarrow.parquet as parquet
import pytest
from sklearn.linear_model import LogisticRegression

from sensorium.errors import UserError
from sensorium.evaluation.few_shot import ProbeRecords, _draw_shots, _score_draws, evaluate_few_shot
from sensorium.evaluation.zero_shot_report import evaluate_zero_shot
from tests.evaluation import pairs
from tests.reviews import sensorium


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs") / "world"
    pairs.make(folder)
    pairs.model().save(folder / "run")
    return folder


@pytest.fixture
def untaught(made, monkeypatch):
    monkeypatch.chdir(made)
    return pairs.model(steps=0)


def known(labels: int = 3, each: int = 8, noise: float = 0.0, groups: int | None = None) -> ProbeRecords:
    """Labels on the axes of a space, with noise; each record of its own content."""
    chance = np.random.default_rng(0)
    label = np.repeat(np.arange(labels), each)
    vectors = (np.eye(labels, 6)[label] + noise * chance.normal(size=(len(label), 6))).astype(np.float32)
    content = np.arange(len(label))
    return ProbeRecords(vectors, label, content, content if groups is None else content % groups, None)


def test_more_shots_teach_more_and_all_of_a_clear_case():
    assert all(row["accuracy"] == 1 for row in _score_draws(known(), 1, 3, 0))
    means = [np.mean([row["accuracy"] for row in _score_draws(known(each=60, noise=0.5), k, 5, 0)]) for k in (1, 5, 40)]
    assert means[0] < means[1] < means[2] < 1


def test_shots_are_different_records_and_others_are_scored():
    one = known(groups=6)
    taken = _draw_shots(one, 2, np.random.default_rng(0))
    assert np.bincount(one.label[taken]).tolist() == [2, 2, 2]
    for label in range(3):
        assert len(set(one.source[taken][one.label[taken] == label])) == 2
    (row,) = _score_draws(one, 2, 1, 0)
    seen = [
        source
        for source in range(6)
        if source in set(one.source[_draw_shots(one, 2, np.random.default_rng((0, 2, 0)))])
    ]
    assert row["records"] == sum(source not in seen for source in one.source)
    copies = one._replace(content=np.zeros(24, int))
    with pytest.raises(UserError, match="no record is left to score"):
        _score_draws(copies, 2, 1, 0)


def test_the_probe_is_scikit_learns(untaught):
    report = evaluate_few_shot(untaught, untaught.read("pairs.csv"), "colour", [3], 2, seed=5)
    table = untaught.read("pairs.csv")
    vectors = untaught.embed(table, "photo")
    labels, label = np.unique(table.frame["colour"], return_inverse=True)
    source = np.arange(48)
    taken = _draw_shots(ProbeRecords(vectors, label, source, source, None), 3, np.random.default_rng((5, 3, 1)))
    assert len(taken) == 18 and report.labels == labels.tolist()
    drawn = report.samples.to_pylist()
    assert {row["records"] for row in drawn} == {30}
    assert [row["draw"] for row in drawn] == [0, 1]
    unit = vectors - vectors[taken].mean(axis=0)
    unit /= np.sqrt((unit[taken] ** 2).sum(axis=1).mean())
    rest = np.setdiff1d(source, taken)
    probe = LogisticRegression(C=32, max_iter=1000).fit(unit[taken], label[taken])
    assert drawn[1]["accuracy"] == pytest.approx(probe.score(unit[rest], label[rest]))
    assert report.figures["3"]["accuracy"].value == pytest.approx(np.mean([row["accuracy"] for row in drawn]))


def test_zero_shot_stands_beside_it(untaught):
    report = evaluate_few_shot(untaught, untaught.read("pairs.csv"), "colour", "1,4", 4)
    assert list(report.figures) == ["zero_shot", "1", "4"]
    assert report.figures["4"]["accuracy"].value > report.figures["zero_shot"]["accuracy"].value
    assert report.figures["4"]["accuracy"].chance == pytest.approx(1 / 6)
    whole = evaluate_zero_shot(untaught, untaught.read("pairs.csv"), "colour", resamples=5).metrics["accuracy"].value
    assert report.figures["zero_shot"]["accuracy"].value == pytest.approx(whole, abs=0.15)
    again = evaluate_few_shot(untaught, untaught.read("pairs.csv"), "colour", "1,4", 4)
    assert again.samples == report.samples


def test_it_is_printed_and_saved(made, untaught, tmp_path):
    said = sensorium(f"evaluate run pairs.csv --task few-shot --target colour --shots 1,2 --draws 3 --out {tmp_path}")
    assert said.code == 0, said.err
    assert "none, by name" in said.out and "Means over 3 draws" in said.out
    found = json.loads((tmp_path / "metrics.json").read_text())["few_shot"]["colour"]
    assert list(found) == ["zero_shot", "1", "2"] and found["2"]["accuracy"]["value"] > 0.9
    assert len(parquet.read_table(tmp_path / "scores.parquet")) == 6


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"shots": "1,x"}, "--shots 1,x is not numbers"),
        ({"shots": [0]}, "number below 1"),
        ({"shots": [8]}, "--shots 8 asks for 9 different records of each label"),
        ({"draws": 0}, "draws nothing"),
        ({"input": "sound"}, "There is no input 'sound'"),
    ],
)
def test_what_cannot_be_drawn(untaught, options, sentence):
    with pytest.raises(UserError, match=sentence):
        evaluate_few_shot(untaught, untaught.read("pairs.csv"), "colour", **options)
