"""Splits: sizes, strata, groups, columns, seeds; and what stands on both sides."""

import warnings

import numpy as np
import pandas as pd
import pytest

from sensorium.data.read import read
from sensorium.data.split import overlap
from sensorium.data.table import Table
from sensorium.errors import UserError


def made(count: int = 1000, groups: int | None = None, seed: int = 0) -> Table:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=count), "y": rng.choice(["a", "b", "c"], count, p=[0.7, 0.25, 0.05])})
    if groups:
        frame["g"] = ["g" + str(i) for i in (rng.zipf(1.5, count) % groups)]
    return read(frame, target="y", group="g" if groups else None, quiet=True)


def shares(table: Table) -> np.ndarray:
    return table.frame["y"].value_counts(normalize=True).reindex(["a", "b", "c"]).to_numpy()


def test_a_ratio_is_kept_and_so_are_the_classes():
    table = made()
    train, test = table.split(0.8)
    assert (len(train), len(test)) == (800, 200)
    assert sorted([*train.rows, *test.rows]) == list(range(1, 1001))
    assert np.abs(shares(train) - shares(test)).max() < 0.01


def test_a_seed_is_a_split():
    table = made()
    assert table.split(0.8, seed=3)[1].keys == table.split(0.8, seed=3)[1].keys
    assert table.split(0.8, seed=3)[1].keys != table.split(0.8, seed=4)[1].keys


def test_a_rare_class_stands_on_both_sides():
    records = [{"x": i * 1.5, "y": "rare" if i < 2 else "often"} for i in range(40)]
    for seed in range(5):
        for side in read(records, target="y", quiet=True).split(0.9, seed=seed):
            assert "rare" in side.frame["y"].to_list()


def test_rows_without_a_target_are_split_too():
    records = [{"x": i * 1.5, "y": "ab"[i % 2] if i < 20 else None} for i in range(100)]
    _, test = read(records, target="y", quiet=True).split(0.8)
    assert len(test) == 20
    assert test.frame["y"].isna().sum() == 16


@pytest.mark.parametrize("ratio", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_no_group_stands_on_both_sides(ratio, seed):
    table = made(3000, groups=200, seed=seed)
    train, test = table.split(ratio, seed=seed)
    assert not set(train.groups) & set(test.groups)
    assert len(train) + len(test) == 3000
    assert abs(len(train) / 3000 - ratio) < 0.02
    assert np.abs(shares(train) - shares(test)).max() < 0.03


def test_few_groups_and_their_seeds():
    records = [{"x": i * 1.5, "y": "ab"[i % 2], "g": f"g{i % 4}"} for i in range(80)]
    table = read(records, target="y", group="g", quiet=True)
    held_out = {tuple(sorted(set(table.split(0.75, seed=seed)[1].groups))) for seed in range(20)}
    assert all(len(groups) == 1 for groups in held_out)
    assert len(held_out) > 1


def test_two_groups_make_two_sides_at_any_ratio():
    records = [{"x": i * 1.5, "y": "ab"[i % 2], "g": "big" if i < 90 else "small"} for i in range(100)]
    table = read(records, target="y", group="g", quiet=True)
    for ratio in (0.01, 0.99):
        assert all(len(side) for side in table.split(ratio))


def test_one_group_cannot_be_split():
    records = [{"x": i * 1.5, "g": "one"} for i in range(4)]
    with pytest.raises(UserError, match="one group"):
        read(records, group="g", quiet=True).split(0.5)


def folds(values: list[str], **options) -> Table:
    return read([{"x": i * 1.5, "fold": value} for i, value in enumerate(values)], quiet=True, **options)


def test_a_column_splits_and_is_no_input_afterwards():
    table = folds(["train", "test", "train", "test"])
    assert "fold" in [spec.name for spec in table.schema.inputs]
    train, test = table.split(column="fold")
    assert (train.rows.tolist(), test.rows.tolist()) == ([1, 3], [2, 4])
    for side in (train, test):
        assert [spec.name for spec in side.schema.inputs] == ["x"]
        assert side.schema.column("fold").kind == "ignored"


def test_a_value_can_be_held_out_and_a_group_column_stays_the_group():
    train, test = folds(["a", "b", "c", "a"], columns={"fold": "category"}).split(column="fold", test="a")
    assert test.rows.tolist() == [1, 4]
    train, test = folds(["a", "b", "c", "a"], group="fold").split(column="fold", test="a")
    assert train.schema.group == "fold"
    assert train.groups.tolist() == ["b", "c"]


@pytest.mark.parametrize(
    ("values", "options", "told"),
    [
        (["train", "val", "test", "test"], {"column": "fold"}, "name the value"),
        (["one", "two", "one", "two"], {"column": "fold"}, "name the value"),
        (["a", "b", "a", "b"], {"column": "fold", "test": "c"}, "no value 'c'"),
        (["a", "b", "a", None], {"column": "fold", "test": "a"}, "Row 4, column 'fold'"),
        (["a", "a", "a", "a"], {"column": "fold"}, "'a' in every row"),
        (["a", "b", "a", "b"], {"column": "fodl"}, "did you mean 'fold'"),
        (["a", "b", "a", "b"], {"ratio": 0.8, "column": "fold"}, "one of the two"),
        (["a", "b", "a", "b"], {}, "one of the two"),
        (["a", "b", "a", "b"], {"ratio": 1.0}, "between 0 and 1"),
        (["a", "b", "a", "b"], {"ratio": 80}, "between 0 and 1"),
    ],
)
def test_a_mistake_is_told(values, options, told):
    table = folds(values, columns={"fold": "ignored"})
    with pytest.raises(UserError) as error:
        table.split(**options)
    assert told in str(error.value)


def test_a_held_out_value_may_be_a_number():
    table = read([{"x": i * 1.5, "fold": i % 3} for i in range(9)], columns={"fold": "ignored"}, quiet=True)
    assert table.split(column="fold", test=2)[1].rows.tolist() == [3, 6, 9]


def test_a_target_and_the_only_input_split_nothing():
    table = folds(["a", "b", "a", "b"], target="fold")
    with pytest.raises(UserError, match="is a target"):
        table.split(column="fold", test="a")
    table = read([{"fold": one} for one in "abab"], quiet=True)
    with pytest.raises(UserError, match="no input left"):
        table.split(column="fold", test="a")


def test_equal_records_on_both_sides_are_warned_of():
    records = [{"x": i % 50 * 1.5, "t": f"text number {i % 50} of it", "y": "ab"[i % 2]} for i in range(100)]
    table = read(records, target="y", quiet=True)
    with pytest.warns(UserWarning, match=r"share records \(\d+ of the 20"):
        table.split(0.8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made().split(0.8)


def test_a_difference_in_one_input_is_a_difference():
    one = read([{"x": 1, "t": "some words here"}, {"x": 2.5, "t": "other words here"}], quiet=True)
    same = read([{"x": 1.0, "t": "some words here"}], schema=one.schema)
    swapped = read([{"x": 2.5, "t": "some words here"}], schema=one.schema)
    lacking = read([{"x": 1}, {}], schema=one.schema)
    empty = read([{}, {}], schema=one.schema)
    assert "records (1 of the 1 " in overlap(one, same)
    assert overlap(one, swapped) is None
    assert overlap(one, lacking) is None
    assert overlap(empty, empty) is None
    assert "records (1 of the 2 " in overlap(lacking, lacking)


def test_files_are_known_by_path_or_by_content():
    table = read([{"photo": f"{i}.png", "x": i * 1.5} for i in range(4)], quiet=True)
    one, two = table.take(np.array([0, 1])), table.take(np.array([2, 3]))
    assert overlap(one, two) is None
    ids = {"photo": np.array([11, -5])}
    assert "files of 'photo' (1)" in overlap(one, two, ids, {"photo": np.array([-5, 7])})
    assert overlap(one, two, ids, {"photo": np.array([0, 7])}) is None
    again = read([{"photo": "0.png", "x": 99.0}], schema=table.schema)
    assert "files of 'photo' (1)" in overlap(one, again)
    with pytest.warns(UserWarning, match="files of 'photo'"):
        table.split(column="x", test="0", ids={"photo": np.array([3, 4, 5, 3])})


def test_arrays_are_known_by_content():
    arrays = [np.full((2, 2, 3), i, np.uint8) for i in (0, 1, 0)]
    table = read([{"photo": array} for array in arrays], quiet=True)
    assert "files of 'photo' (1)" in overlap(table.take(np.array([0, 1])), table.take(np.array([2])))
    assert overlap(table.take(np.array([0])), table.take(np.array([1]))) is None


def test_groups_on_both_sides_of_a_column_are_warned_of():
    records = [{"x": i * 1.5, "g": f"g{i % 3}", "fold": ("train", "test")[i > 6]} for i in range(10)]
    with pytest.warns(UserWarning, match=r"groups of 'g' \(3, such as 'g0'\)"):
        read(records, group="g", quiet=True).split(column="fold")
