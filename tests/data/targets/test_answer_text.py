"""Answers: one spelling, counted over annotators, as places among those that are known."""

import json

import numpy as np
import pytest

from sensorium.data.read import read
from sensorium.data.targets.answer_text import commonest, normalise, question_texts
from sensorium.errors import UserError


@pytest.mark.parametrize(
    ("said", "one"),
    [
        ("The Two dogs", "2 dogs"),
        ("none", "0"),
        ("  Red.\n", "red"),
        ("3.5 ft.", "3.5 ft"),
        ("1,000", "1000"),
        ("t-shirt", "t shirt"),
        ("yes, sir!", "yes sir"),
        ("yes/no", "yes no"),
        ("it isnt", "it isn't"),
        ("couldn'tve", "couldn't've"),
        ("dogs' bowl", "dogs' bowl"),
        ("10:30", "10:30"),
        ("A", "a"),
    ],
)
def test_an_answer_has_one_spelling(said, one):
    assert normalise(said) == one
    assert normalise(one) == one


def table(cells: list, **more):
    rows = [{"x": i * 0.5, "question": "Is it?", "y": cell} for i, cell in enumerate(cells)]
    return read(rows, target={"y": "answer"}, columns={"question": "text"}, quiet=True, **more)


CELLS = [["Yes", "yes!", "no"], None, "no", [], '["red", "the Red", "yes"]', ["maybe"] * 2 + ["yes"] * 2]


def test_answers_are_places_with_shares_the_commonest_of_a_record_first():
    found = table(CELLS)
    target = found.schema.targets[0]
    assert target.labels == ["yes", "no", "red", "maybe"]  # 1.5, 1.33, .67, .5 of a record
    encoded = found.encode_target(target)
    assert encoded["mask"].tolist() == [True, False, True, False, True, True]
    assert encoded["answers"].tolist() == [[0, 1], [-1, -1], [1, -1], [-1, -1], [2, 0], [3, 0]]
    np.testing.assert_allclose(encoded["weight"], [[2 / 3, 1 / 3], [0, 0], [1, 0], [0, 0], [2 / 3, 1 / 3], [0.5, 0.5]])
    assert encoded["annotators"].tolist() == [3, 0, 1, 0, 3, 4]


def test_an_answer_that_training_lacks_is_no_mistake():
    schema = table(CELLS).schema
    other = read([{"x": 1, "question": "Is it?", "y": ["blue", "blue", "Yes"]}], schema=schema)
    encoded = other.encode_target(schema.targets[0])
    assert encoded["answers"].tolist() == [[-1, 0]] and encoded["mask"].tolist() == [True]
    np.testing.assert_allclose(encoded["weight"], [[2 / 3, 1 / 3]])


def test_a_csv_holds_lists_of_answers_as_json(tmp_path):
    lines = ["x,y"] + [f'{i},"{json.dumps(one)}"'.replace('""', '"') for i, one in enumerate(["red", "blue"])]
    several = json.dumps(["red", "Red", "blue"]).replace('"', '""')
    (tmp_path / "t.csv").write_text("\n".join([*lines, f'2.5,"{several}"']) + "\n")
    found = read(tmp_path / "t.csv", target={"y": "answer"}, quiet=True)
    assert found.cells("y", "answer").tolist() == [["red"], ["blue"], ["red", "red", "blue"]]


def test_every_record_counts_one_however_many_answered_it():
    assert commonest([["b"] * 10, ["a"], ["a"], None]) == {"a": 2, "b": 1}
    assert list(commonest([["b"], ["a"]])) == ["a", "b"]


def test_a_value_that_is_no_answer_and_a_target_of_one_answer_are_named():
    with pytest.raises(UserError, match=r"Row 2, column 'y' .* cannot be read as answer"):
        table(["yes", {"answer": "no"}])
    with pytest.raises(UserError, match="The target 'y' of the table is yes in every row that has it"):
        table(["yes", ["Yes", "yes"]])


def test_a_record_asks_by_its_texts():
    rows = [{"a": "What  is IT?", "b": "Say so", "y": "it"}, {"a": None, "b": "Well", "y": "no"}]
    found = read(rows, target={"y": "answer"}, columns={"a": "text", "b": "text"}, quiet=True)
    assert question_texts(found) == ["what is it? say so", "well"]


def test_a_group_of_pictures_is_an_input_too():
    rows = [{"photo": f"{i // 2}.png", "question": f"Is it {i}?", "y": "yes" if i % 3 else "no"} for i in range(6)]
    found = read(rows, target={"y": "answer"}, group="photo", columns={"question": "text"}, quiet=True)
    assert found.schema.group == "photo" and [one.name for one in found.schema.inputs] == ["photo", "question"]
    assert found.groups.tolist() == ["0.png", "0.png", "1.png", "1.png", "2.png", "2.png"]
