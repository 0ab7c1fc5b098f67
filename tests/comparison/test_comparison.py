"""compare: folds that share nothing, one score a record and candidate, going on after a stop, what is said."""

import numpy as np
import pandas as pd
import pyarrow.parquet as parquet
import pytest

import sensorium
from sensorium.comparison.compare import compare
from sensorium.comparison.variants import Variant, make_folds, variants
from sensorium.config.schema import Recipe
from sensorium.errors import UserError
from sensorium.evaluation.comparison import Comparison, Contender
from sensorium.metrics import Difference, Value

RATES = {"word": {"learning_rate": 0.002}, "size": {"learning_rate": 0.002}}  # of what a candidate does not train
SETTINGS = {"recipe": {"inputs": RATES, "training": {"epochs": 4, "batch_size": 16}}, "quiet": True}


def table(rows: int = 72, groups: int | None = None) -> pd.DataFrame:
    """`word` tells the class nine times in ten, `size` says nothing of it."""
    chance = np.random.default_rng(0)
    right = chance.integers(0, 2, rows)
    said = np.where(chance.random(rows) < 0.9, right, 1 - right)
    found = {"word": np.where(said, "good", "bad"), "size": chance.normal(size=rows), "y": np.where(right, "yes", "no")}
    if groups:
        found["who"] = [f"p{index % groups}" for index in range(rows)]
    return pd.DataFrame(found)


def run(folder, records=None, **options):
    given = SETTINGS | {"target": "y", "folds": 2, "fusion": "concat,late"} | options
    return compare(table() if records is None else records, folder, **given)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared") / "run"
    return run(folder), folder


def test_every_record_is_scored_once_by_every_candidate(done):
    found, folder = done
    scores = parquet.read_table(folder / "scores.parquet").to_pandas()
    names = {"concat", "late", "concat without word", "concat without size"}
    assert set(scores["candidate"]) == names == {one.name for one in found.contenders}
    assert (scores.groupby("candidate")["key"].nunique() == 72).all() and len(scores) == 4 * 72
    for one in found.contenders:
        mean = scores[scores["candidate"] == one.name]["score"].mean()
        assert one.value.value == pytest.approx(mean) and one.value.low <= mean <= one.value.high
        assert 0.4 < one.value.chance < 0.65 and one.parameters > 0
    assert found.contenders[-1].name == "concat without word"
    assert found.between("concat", "concat without word").value.value > 0.2
    assert found.between("concat without word", "concat").value.value < -0.2


def test_what_was_saved_is_what_was_found(done):
    found, folder = done
    again = Comparison.load(folder)
    assert again.to_dict() == found.to_dict()
    assert again.verdict == found.verdict and any("'word' earns its keep" in said for said in found.verdict)


def test_a_comparison_that_was_stopped_goes_on_to_the_same_end(done, tmp_path):
    found, folder = done
    cells = sorted((folder / "cells").iterdir())
    assert len(cells) == 8
    kept = {path.name: path.read_bytes() for path in cells[:3]}
    other = tmp_path / "run"
    run(other)
    for path in (other / "cells").iterdir():
        if path.name not in kept:
            path.unlink()
    (other / "metrics.json").unlink()
    (other / "training").mkdir()
    again = run(other, resume=True)
    for a, b in zip(found.contenders, again.contenders, strict=True):
        assert (a.name, a.value, a.parameters) == (b.name, b.value, b.parameters)
    with pytest.raises(UserError, match="began with"):
        run(other, table(70), resume=True)
    with pytest.raises(UserError, match="holds a comparison already"):
        run(other)


def test_folds_share_no_group_and_hold_each_record_once():
    records = sensorium.read(table(90, groups=9), target="y", group="who", quiet=True)
    found = make_folds(records, 3, Recipe())
    assert sorted(np.concatenate([fold.test for fold in found])) == list(range(90))
    for fold in found:
        parts = [set(records.groups[rows]) for rows in fold]
        assert all(parts) and sum(map(len, parts)) == 9
        assert len(set(records.take(fold.test).frame["y"])) == 2
    with pytest.raises(UserError, match="9 groups cannot make 10 folds"):
        make_folds(records, 10, Recipe())


def test_candidates_are_all_fusions_and_the_first_without_each_input():
    records = sensorium.read(table(), target="y", quiet=True)
    found = variants("all", records, Recipe())
    names = [one.name for one in found]
    assert "late" in names and "separate" not in names and names[-2:] == ["hybrid without word", "hybrid without size"]
    with pytest.raises(UserError, match="no fusion 'hibrid'"):
        variants("hibrid", records, Recipe())


@pytest.mark.parametrize(
    ("name", "config", "left"),
    [
        ("film", {"order": ["size", "word"], "dim": 8}, {"order": ["size"], "dim": 8}),
        ("serial", {"query": "word", "context": ["size"], "dim": 8}, {"dim": 8}),
        ("serial", {"query": "size", "context": ["words", "word"]}, {"query": "size", "context": ["words"]}),
        ("graph", {"edges": [["word", "size"]], "dim": 8}, {"edges": [], "dim": 8}),
    ],
)
def test_settings_that_name_an_input_do_without_it(name, config, left):
    asked = Recipe.model_validate({"fusion": {"name": name, "config": config}})
    without = Variant(name, ("size",), "word").recipe(asked, 0).fusion
    assert without.config == left and Variant(name, ("word", "size")).recipe(asked, 0).fusion.config == config


def test_a_comparison_by_a_stated_order_is_also_tried_without_each_input(tmp_path):
    film = {"fusion": {"name": "film", "config": {"order": ["size", "word"]}}}
    found = run(tmp_path / "run", fusion="film", recipe=SETTINGS["recipe"] | film)
    assert {one.name for one in found.contenders} == {"film", "film without word", "film without size"}


def test_a_fusion_that_does_not_take_the_inputs_is_left_out_of_all_and_said():
    rows = [{name: f"{name} of {i}, and more words" for name in "abcd"} | {"y": "yn"[i % 2]} for i in range(20)]
    records = sensorium.read(rows, target="y", columns=dict.fromkeys("abcd", "text"), quiet=True)
    said = []
    found = variants("all", records, Recipe(), said.append)
    assert not any(one.fusion == "tensor" for one in found) and any(one.fusion == "low_rank" for one in found)
    assert len(said) == 1 and said[0].startswith("Left out: The fusion 'tensor' multiplies")
    with pytest.raises(UserError, match="take 'low_rank'"):
        variants("hybrid,tensor", records, Recipe())


def test_the_same_fold_and_seed_give_every_candidate_the_same_features(done, tmp_path):
    """A candidate's scores depend neither on the others that are compared with it nor on the process."""
    found, _ = done
    alone = run(tmp_path / "run", fusion="late", workers=1)
    wanted = next(one for one in found.contenders if one.name == "late")
    assert next(one for one in alone.contenders if one.name == "late").value == wanted.value


def contender(name: str, value: float, parameters: int, without: str | None = None) -> Contender:
    fusion = name.partition(" ")[0]
    return Contender(name, fusion, without, Value(value, value - 0.02, value + 0.02, 0.1), parameters, 1.0, 2.0, 0)


def difference(a: str, b: str, value: float, corrected: float) -> Difference:
    return Difference(a, b, Value(value, value - 0.01, value + 0.01, 0.0), corrected / 2, corrected)


def test_the_verdict_says_what_the_figures_say():
    contenders = [
        contender("attention without voice", 0.93, 900, "voice"), contender("attention", 0.9, 1000),
        contender("gated", 0.895, 250), contender("tensor", 0.888, 4000), contender("concat", 0.87, 800),
    ]  # fmt: skip
    differences = [
        difference("attention", "gated", 0.005, 0.8), difference("attention", "tensor", 0.012, 0.01),
        difference("attention", "concat", 0.031, 0.001), difference("gated", "tensor", 0.007, 0.3),
        difference("gated", "concat", 0.025, 0.01), difference("tensor", "concat", 0.018, 0.04),
        difference("attention without voice", "attention", 0.03, 0.01),
    ]  # fmt: skip
    found = Comparison("y", "accuracy", 500, 500, None, 5, 2, contenders, differences, None)
    assert found.verdict == [
        "attention and gated are indistinguishable here: they lie within 0.5 points of each other.",
        "attention beats tensor and concat by 1.2 to 3.1 points.",
        "Take gated: it is 4.0 times smaller than attention, the best by the mean.",
        "Leave 'voice' out: attention is better without it, by +3.0 points (+2.0 to +4.0).",
    ]


def test_nothing_is_recommended_that_is_no_better_than_chance():
    contenders = [contender("attention", 0.11, 1000), contender("gated", 0.105, 250)]
    differences = [difference("attention", "gated", 0.005, 0.8)]
    found = Comparison("y", "accuracy", 500, 500, None, 5, 2, contenders, differences, None)
    assert found.verdict[-1] == "None of them is clearly better than chance, so there is none to take."
    contenders = [contender("attention", 0.15, 1000), contender("gated", 0.12, 250)]
    found = Comparison("y", "accuracy", 500, 500, None, 5, 2, contenders, differences, None)
    assert found.verdict[-1] == "Take attention."
