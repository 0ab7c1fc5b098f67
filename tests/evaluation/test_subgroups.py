"""Subgroups, and records in which one input decided, in worlds where both are known."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.metrics import accuracy_score

from sensorium.evaluation.decided import decided
from sensorium.evaluation.saved_scores import SavedScores
from sensorium.evaluation.subgroups import subgroups
from sensorium.reports.samples import surest

ROWS = 300


def world(worse: float, seed: int = 0) -> tuple[dict, dict, np.ndarray]:
    """Truth, prediction and subgroup of records of which the subgroup "c" is right less often by `worse`."""
    chance = np.random.default_rng(seed)
    member = chance.choice(["a", "b", "c"], ROWS)
    label = chance.integers(0, 2, ROWS)
    right = chance.random(ROWS) < np.where(member == "c", 0.9 - worse, 0.9)
    decision = np.where(right, label, 1 - label)
    shares = np.stack([1 - decision, decision], axis=1) * 0.8 + 0.1
    return {"label": label}, {"decision": decision, "probabilities": shares}, member.astype(object)


def test_a_subgroup_that_is_worse_is_found_and_the_gap_is_its_distance():
    truth, given, member = world(0.4)
    member[:5], member[5:9] = None, "few"
    found = subgroups("class", truth, given, "accuracy", "kind", member)
    assert found.groups[-1].name == "c" and found.small == 9
    for one in found.groups:
        rows = member == one.name
        assert one.records == rows.sum()
        assert one.value.value == pytest.approx(accuracy_score(truth["label"][rows], given["decision"][rows]))
    assert found.gap.value == pytest.approx(found.groups[0].value.value - found.groups[-1].value.value)
    assert found.gap.low > 0 and found.p < 0.01


def test_where_subgroups_are_alike_the_gap_is_one_of_chance():
    p = [subgroups("class", *world(0.0, seed)[:2], "accuracy", "kind", world(0.0, seed)[2]).p for seed in range(12)]
    assert sum(one < 0.05 for one in p) <= 3 and np.median(p) > 0.2


def test_one_subgroup_is_none():
    truth, given, _ = world(0.0)
    assert subgroups("class", truth, given, "accuracy", "kind", np.full(ROWS, "a", dtype=object)) is None


def saved() -> tuple[SavedScores, np.ndarray]:
    """Scores of which the input `voice` decides in every tenth record, and hurts in record 1."""
    rows = np.arange(100)
    tenth = rows % 10 == 0
    frames = []
    for coalition, right in (("all", rows != 1), ("without voice", ~tenth), ("without photo", rows != 1)):
        sure = 0.9 - rows / 1000
        decision = np.where(right, "yes", "no")
        share = np.where(right, sure, 1 - sure)
        frames.append(
            pd.DataFrame(
                {
                    "key": rows.astype(str), "group": None, "coalition": coalition, "it": "yes",
                    "it_decision": decision, "it_probability_no": 1 - share, "it_probability_yes": share,
                    "it_loss": -np.log(share),
                }
            )
        )  # fmt: skip
    figures = {"targets": {"it": {"accuracy": {}, "balanced_accuracy": {}}}, "classes": {"it": {"no": {}, "yes": {}}}}
    table = pa.Table.from_pandas(pd.concat(frames), preserve_index=False)
    return SavedScores.of(table, figures), np.flatnonzero(tenth)


def test_the_records_that_one_input_decided_are_found():
    scores, tenth = saved()
    target = scores.target("it")
    voice = decided(scores, target, "voice", ["photo", "voice", "text"])
    assert sorted(voice.helped) == tenth.tolist() and voice.helped[0] == 0 and voice.of == 100
    assert voice.hurt.tolist() == [1]
    photo = decided(scores, target, "photo", ["photo", "voice", "text"])
    assert not len(photo.helped) and not len(photo.hurt)
    assert decided(scores, target, "text", ["photo", "voice", "text"]) is None  # its scores were not kept
    assert surest(scores, target).tolist() == [1]
