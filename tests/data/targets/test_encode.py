"""Targets as tensors."""

import numpy as np
import pandas as pd
import pytest
import torch

from sensorium.data.read import read
from sensorium.errors import UserError


def encoded(values: list, kind: str | None = None) -> dict[str, torch.Tensor]:
    table = read([{"x": i * 0.5, "y": value} for i, value in enumerate(values)], target={"y": kind}, quiet=True)
    return table.encode_target(table.schema.targets[0])


def test_a_class_is_an_index_and_absence_a_mask():
    target = encoded(["b", None, "a", "b"])
    assert target["mask"].tolist() == [True, False, True, True]
    assert target["label"].tolist() == [1, 0, 0, 1]
    assert target["label"].dtype == torch.int64


def test_whole_numbers_are_classes_in_their_order():
    assert encoded([10, 9, None, 9.0])["label"].tolist() == [1, 0, 0, 0]


def test_labels_are_a_row_of_zeros_and_ones():
    target = encoded([["b", "a"], None, [], ["c", "c"]])
    assert target["mask"].tolist() == [True, False, True, True]
    assert target["labels"].tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert torch.equal(encoded(["a | b", "", "|", "c"])["labels"], target["labels"])


def test_a_number_keeps_its_units():
    target = encoded(["1500.5", "", "-2"])
    assert target["mask"].tolist() == [True, False, True]
    assert target["value"].tolist() == [1500.5, 0, -2]
    assert target["value"].dtype == torch.float64


@pytest.mark.parametrize(("train", "new"), [(["a", "b"], "c"), (["a|b", "b"], "b|c")])
def test_an_unknown_label_names_row_and_column(train, new):
    table = read([{"x": i * 0.5, "y": value} for i, value in enumerate(train)], target="y", quiet=True)
    other = read([{"x": 1, "y": "b"}, {"x": 1, "y": new}], schema=table.schema)
    with pytest.raises(UserError, match="Row 2, column 'y' of the table: There is no label 'c'"):
        other.encode_target(table.schema.targets[0])


def test_a_table_without_the_target_is_mquestion_texts():
    table = read([{"x": 1, "y": "a"}, {"x": 2.5, "y": "b"}], target="y", quiet=True)
    assert not read([{"x": 1}], schema=table.schema).encode_target(table.schema.targets[0])["mask"].any()


def test_classes_of_floats_with_holes_meet_the_integers_of_a_csv(tmp_path):
    frame = pd.DataFrame({"x": np.arange(4) * 0.5, "y": [1, 2, np.nan, 2]})
    table = read(frame, target="y", quiet=True)
    (tmp_path / "t.csv").write_text("x,y\n1,2\n2,1\n")
    other = read(tmp_path / "t.csv", schema=table.schema)
    assert other.encode_target(table.schema.targets[0])["label"].tolist() == [1, 0]
