"""VQA accuracy against its definition, one annotator left out at a time."""

from itertools import combinations

import numpy as np
import pytest

from sensorium.data.columns.parse import objects
from sensorium.data.targets.answer_text import encode_answers
from sensorium.metrics import exact_match, measure, vqa_accuracy
from sensorium.metrics.resampling import Resamples

LABELS = ["yes", "no", "red", "blue"]


def plainly(annotators: list[str], decision: str) -> float:
    """The definition: the mean over all sets of annotators but one of min(1, how many of them said so / 3)."""
    if len(annotators) == 1:
        return float(annotators[0] == decision)
    enough = min(3, len(annotators) - 1)
    rest = list(combinations(annotators, len(annotators) - 1))
    return sum(min(1.0, sum(one == decision for one in some) / enough) for some in rest) / len(rest)


@pytest.mark.parametrize("people", [1, 2, 3, 4, 7, 10])
def test_vqa_accuracy_is_the_mean_over_who_is_left_out(people):
    chance = np.random.default_rng(people)
    said = [list(chance.choice([*LABELS, "unheard of"], people, p=[0.5, 0.2, 0.1, 0.1, 0.1])) for _ in range(60)]
    decision = chance.integers(0, len(LABELS), 60)
    truth = encode_answers(objects(said), LABELS)
    wanted = [plainly(one, LABELS[place]) for one, place in zip(said, decision, strict=True)]
    np.testing.assert_allclose(vqa_accuracy(truth, decision), wanted, atol=1e-9)


def test_of_ten_annotators_three_score_nine_tenths_and_four_all():
    said = [["yes"] * count + ["no"] * (10 - count) for count in (0, 1, 2, 3, 4)]
    found = vqa_accuracy(encode_answers(objects(said), LABELS), np.zeros(5, int))
    np.testing.assert_allclose(found, [0, 0.3, 0.6, 0.9, 1.0], atol=1e-9)


def test_an_exact_match_is_the_commonest_answer_or_one_of_them():
    said = [["yes", "yes", "no"], ["yes", "no"], ["other", "other", "yes"]]
    truth = encode_answers(objects(said), LABELS)
    assert exact_match(truth, np.array([0, 1, 0])).tolist() == [1, 1, 0]
    assert exact_match(truth, np.array([1, 2, 3])).tolist() == [0, 0, 0]


def test_where_one_person_answered_both_metrics_are_the_share_of_right_answers():
    truth = encode_answers(objects([["yes"], ["no"], ["red"], ["purple"]]), LABELS)
    prior = {"decision": np.zeros(4, int)}
    found = measure("answer", truth, {"decision": np.array([0, 1, 0, 3])}, prior, Resamples(4, count=50))
    assert found["vqa_accuracy"].value == found["exact_match"].value == 0.5
    assert found["vqa_accuracy"].chance == found["exact_match"].chance == 0.25
