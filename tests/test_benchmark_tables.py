"""How benchmarks/tables folds, scores and compares, on made-up rows."""

from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.tables.page import write_page
from benchmarks.tables.report import TableScores, verdicts
from benchmarks.tables.scores import ACCURACY, AUC, R2, difference, fold_average, score
from benchmarks.tables.sources import FOLDS, GROUP, Table, draw_outline, fold_of_rows, store_media
from benchmarks.tables.systems import prediction_path

from sensorium.metrics import Value


def probabilities(positive: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"no": 1 - positive, "yes": positive})


def test_a_group_stays_in_one_fold_and_the_folds_are_always_the_same():
    rows = pd.DataFrame({"answer": np.arange(90) % 2, GROUP: np.arange(90) // 3})
    table = Table("rows", "answer", ACCURACY, lambda sources, folder: rows)
    folds = fold_of_rows(table, rows)
    assert pd.Series(folds).groupby(rows[GROUP]).nunique().max() == 1
    assert set(folds) == set(range(FOLDS))
    np.testing.assert_array_equal(folds, fold_of_rows(table, rows))
    stratified = pd.Series(rows["answer"]).groupby(fold_of_rows(table, rows.drop(columns=GROUP))).mean()
    np.testing.assert_allclose(stratified, 0.5)


def test_scores_of_two_folds_are_not_ranked_together():
    truth, folds = np.array(["no", "yes", "no", "yes"]), np.array([0, 0, 1, 1])
    fold_predictions = [probabilities(np.array([0.1, 0.2])), probabilities(np.array([0.8, 0.9]))]
    assert score(fold_average(AUC, truth, fold_predictions, folds), 4) == 1.0


def test_the_measures_are_those_of_their_names():
    labels = pd.DataFrame({"a": [0.5, 0.1, 0.3], "b": [0.2, 0.8, 0.3], "c": [0.3, 0.1, 0.4]})
    assert np.isclose(score(ACCURACY.metric(np.array(["a", "b", "a"]), labels), 3), 2 / 3)
    numbers = pd.DataFrame({"prediction": [1.0, 2.0, 4.0]})
    assert np.isclose(score(R2.metric(np.array(["1", "2", "3"]), numbers), 3), 0.5)


def test_a_difference_is_paired_and_drawn_by_group():
    generator = np.random.default_rng(0)
    truth = np.where(generator.random(400) < 0.5, "yes", "no")
    noise = generator.normal(0, 1, 400)
    good, bad = ((truth == "yes") * strength + noise for strength in (1.5, 1.0))
    metrics = [AUC.metric(truth, pd.DataFrame({"yes": values})) for values in (good, bad)]
    rows, groups = (difference(*metrics, 400, clusters) for clusters in (None, np.arange(400) // 40))
    assert 0 < rows.low < rows.value < rows.high
    assert rows.value == groups.value and rows.low != groups.low


def test_verdicts_go_by_the_interval_alone():
    for low, high, names in [
        (0.01, 0.2, ["above", "not_below"]),
        (-0.01, 0.2, ["not_below"]),
        (-0.03, 0.2, []),
        (-0.03, -0.01, ["below"]),
        (None, None, []),
    ]:
        drawn = verdicts(Value(0.1, low, high), 0.02)
        assert [name for name, holds in drawn.items() if holds] == names


def test_media_get_names_that_say_nothing(tmp_path):
    (tmp_path / "source").mkdir()
    paths = [tmp_path / "source" / f"animal-{index}.txt" for index in range(20)]
    for path in paths:
        path.write_text(path.stem)
    stored = store_media(pd.Series([*map(str, paths), None]), tmp_path, "picture")
    assert stored[-1] is None and len(set(stored)) == 21
    assert [(tmp_path / name).read_text() for name in stored[:-1]] == [path.stem for path in paths]
    assert stored[:-1] != sorted(stored[:-1])
    assert not any("animal" in Path(name).name for name in stored[:-1])


def test_an_outline_is_drawn_in_millimetres_in_the_middle():
    square = np.array([[100, 200], [100, 210], [110, 210], [110, 200]], float)  # 10 mm a side
    pixels = np.asarray(draw_outline(square))
    assert pixels[48, 48] > 0 and pixels[0, 0] == 0
    assert abs(int((pixels > 0).sum()) - 20 * 20) < 60


def test_the_page_says_where_ours_loses(tmp_path):
    generator = np.random.default_rng(0)
    truth = np.where(generator.random(300) < 0.5, "yes", "no")
    table = Table("made", "answer", AUC, lambda sources, folder: None)
    folder = tmp_path / "tables/made"
    folder.mkdir(parents=True)
    pd.DataFrame({"answer": truth}).to_csv(folder / "table.csv", index=False)
    np.save(folder / "folds.npy", np.zeros(300, int))
    noise = generator.normal(0, 1, 300)
    cells = []
    for system, strength in {
        "ours": 1,
        "autogluon-tabular": 0.2,
        "baselines": 3,
        "ours-fast": 0.9,
        "ours-best": 1,
    }.items():
        path = prediction_path(tmp_path, "made", system, 0)
        path = path / "linear.csv" if system == "baselines" else path
        path.parent.mkdir(parents=True, exist_ok=True)
        probabilities((truth == "yes") * strength + noise).to_csv(path, index=False)
        usage = {"seconds": 10, "predict_seconds": 2, "processor_seconds": 8, "megabytes": 900, "exceeded": False}
        described = {"cores": 2, "used_cores": 1, "vectors": "avx2", "gigabytes": 8}
        cells.append({"table": "made", "system": system, "fold": 0, "status": 0, "machine": described} | usage)
    write_page([TableScores(table, pd.DataFrame(cells), tmp_path)], tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    assert "the best simple model, of 1 tables: above on 0 by the whole interval; lower on 1 (made)" in page
    assert "the better AutoGluon, of 1 tables: above on 1 by the whole interval; lower on 0" in page
    assert "| `best` | 1 | +0.000 | 2 | 1.00 |" not in page and "| `best` | 1 | +0.000 | 1 | 1.00 |" in page
