"""Every metric agrees with scikit-learn or SciPy; intervals cover, repeat and keep clusters together."""

import time

import numpy as np
import pytest
import scipy.stats
import sklearn.calibration
import sklearn.metrics as sk

from sensorium.metrics import Resamples, chance, distribution, headline, measure, metrics, paired, per_class, point
from sensorium.metrics.kinds.class_ import ClassMetrics

CLOSE = {"rel": 1e-6, "abs": 1e-6}


def classes(seed: int, rows: int = 120, count: int = 4, absent: int | None = None, round_to: int = 1):
    """Truth and prediction of a class target; rounded probabilities tie; no row is of the class `absent`."""
    generator = np.random.default_rng(seed)
    label = generator.integers(0, count, rows)
    if absent is not None:
        label[label == absent] = (absent + 1) % count
    probabilities = np.round(generator.dirichlet(np.ones(count), rows), round_to) + 0.05
    probabilities[np.arange(rows), label] += np.round(generator.random(rows), round_to) / 2
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return {"label": label}, {
        "probabilities": probabilities,
        "decision": generator.permutation(probabilities.argmax(1)),
    }


def labelled(seed: int, rows: int = 90, count: int = 5):
    """Truth and prediction of a labels target, with ties."""
    generator = np.random.default_rng(seed)
    labels = generator.random((rows, count)) < 0.3
    probabilities = np.round(np.clip(labels * 0.3 + generator.random((rows, count)) * 0.7, 0, 1), 1)
    return {"labels": labels.astype(np.float32)}, {"probabilities": probabilities, "decision": probabilities > 0.45}


def repeated(columns: dict[str, np.ndarray], index: np.ndarray) -> dict[str, np.ndarray]:
    return {name: column[index] for name, column in columns.items()}


def reference_class(truth, prediction) -> dict[str, float]:
    """The same metrics by scikit-learn; the ranking metrics over the classes that occur."""
    label, probabilities, decision = truth["label"], prediction["probabilities"], prediction["decision"]
    count = probabilities.shape[1]
    found = [k for k in range(count) if (label == k).any() and not (label == k).all()] if count > 2 else [1]
    bins = np.bincount(np.searchsorted(np.linspace(0, 1, 16)[1:-1], probabilities.max(1)))
    share, confidence = sklearn.calibration.calibration_curve(
        probabilities.argmax(1) == label, probabilities.max(1), n_bins=15, strategy="uniform"
    )
    macro = {"average": "macro", "zero_division": 0}
    return {
        "accuracy": sk.accuracy_score(label, decision),
        "balanced_accuracy": np.mean([(decision[label == k] == k).mean() for k in np.unique(label)]),
        "precision_macro": sk.precision_score(label, decision, **macro),
        "recall_macro": sk.recall_score(label, decision, **macro),
        "f1_macro": sk.f1_score(label, decision, **macro),
        "roc_auc" if count == 2 else "roc_auc_ovr": np.mean(
            [sk.roc_auc_score(label == k, probabilities[:, k]) for k in found]
        ),
        "average_precision": np.mean([sk.average_precision_score(label == k, probabilities[:, k]) for k in found]),
        "neg_log_loss": -sk.log_loss(label, probabilities, labels=range(count)),
        "expected_calibration_error": np.sum(bins[bins > 0] / len(label) * np.abs(share - confidence)),
    }


def compare(kind, truth, prediction, expected):
    ours = metrics(kind, truth, prediction)
    assert set(ours) == set(expected)
    rows = len(prediction["decision"])
    for name, metric in ours.items():
        assert point(metric, rows) == pytest.approx(expected[name], **CLOSE), name
    # A resample is the same metric on repeated rows.
    index = np.random.default_rng(5).integers(0, rows, rows)
    weights = np.bincount(index, minlength=rows)[:, None]
    again = metrics(kind, repeated(truth, index), repeated(prediction, index))
    for name, metric in ours.items():
        assert metric(weights.astype(np.float64))[0] == pytest.approx(point(again[name], rows), **CLOSE), name
        assert metric(weights.astype(np.float32))[0] == pytest.approx(point(again[name], rows), rel=2e-4, abs=2e-4), (
            name
        )


@pytest.mark.parametrize("absent", [None, 2])
@pytest.mark.parametrize("seed", range(3))
def test_class_metrics_agree_with_scikit_learn(seed, absent):
    truth, prediction = classes(seed, absent=absent)
    compare("class", truth, prediction, reference_class(truth, prediction))


def test_class_metrics_agree_when_a_class_is_neither_true_nor_decided():
    truth, prediction = classes(1, absent=2)
    prediction["decision"] = np.where(prediction["decision"] == 2, 0, prediction["decision"])
    compare("class", truth, prediction, reference_class(truth, prediction))


@pytest.mark.parametrize("seed", range(3))
def test_two_classes_take_the_second_as_positive(seed):
    truth, prediction = classes(seed, count=2)
    expected = reference_class(truth, prediction)
    assert expected["average_precision"] == sk.average_precision_score(
        truth["label"], prediction["probabilities"][:, 1]
    )
    assert expected["balanced_accuracy"] == pytest.approx(
        sk.balanced_accuracy_score(truth["label"], prediction["decision"])
    )
    compare("class", truth, prediction, expected)


def test_more_classes_give_scikit_learns_one_against_the_rest():
    truth, prediction = classes(3)
    ours = point(metrics("class", truth, prediction)["roc_auc_ovr"], 120)
    assert ours == pytest.approx(
        sk.roc_auc_score(truth["label"], prediction["probabilities"], multi_class="ovr"), **CLOSE
    )


@pytest.mark.parametrize("seed", range(3))
def test_labels_metrics_agree_with_scikit_learn(seed):
    truth, prediction = labelled(seed)
    labels, decision = truth["labels"], prediction["decision"]
    macro, micro = ({"average": average, "zero_division": 0} for average in ("macro", "micro"))
    expected = {
        "accuracy": sk.accuracy_score(labels, decision),
        "hamming_loss": sk.hamming_loss(labels, decision),
        "precision_macro": sk.precision_score(labels, decision, **macro),
        "recall_macro": sk.recall_score(labels, decision, **macro),
        "f1_macro": sk.f1_score(labels, decision, **macro),
        "precision_micro": sk.precision_score(labels, decision, **micro),
        "recall_micro": sk.recall_score(labels, decision, **micro),
        "f1_micro": sk.f1_score(labels, decision, **micro),
        "roc_auc": sk.roc_auc_score(labels, prediction["probabilities"]),
        "average_precision": sk.average_precision_score(labels, prediction["probabilities"]),
    }
    compare("labels", truth, prediction, expected)


def test_a_label_nobody_has_counts_in_f1_and_not_in_ranking():
    truth, prediction = labelled(0)
    truth["labels"][:, 2], prediction["decision"][:, 2] = 0, False
    ours = {name: point(metric, 90) for name, metric in metrics("labels", truth, prediction).items()}
    rest = [0, 1, 3, 4]
    assert ours["f1_macro"] == pytest.approx(
        sk.f1_score(truth["labels"], prediction["decision"], average="macro", zero_division=0)
    )
    expected = sk.average_precision_score(truth["labels"][:, rest], prediction["probabilities"][:, rest])
    assert ours["average_precision"] == pytest.approx(expected, **CLOSE)


@pytest.mark.parametrize("ties", [0, 3])
def test_number_metrics_agree_with_scikit_learn_and_scipy(ties):
    generator = np.random.default_rng(ties)
    value = np.round(generator.normal(1e4, 3, 200), ties)
    decision = np.round(value + generator.normal(0, 2, 200), ties)
    expected = {
        "neg_mean_absolute_error": -sk.mean_absolute_error(value, decision),
        "neg_root_mean_squared_error": -sk.root_mean_squared_error(value, decision),
        "r2": sk.r2_score(value, decision),
        "spearman": scipy.stats.spearmanr(value, decision).statistic,
    }
    compare("number", {"value": value}, {"decision": decision}, expected)


def test_undefined_is_none_and_never_nan():
    prior = {"probabilities": np.full((6, 2), 0.5), "decision": np.zeros(6, int)}
    one = measure("class", {"label": np.ones(6, int)}, prior, prior, Resamples(6, count=50))
    assert one["roc_auc"] == (None, None, None, None)
    flat = measure(
        "number", {"value": np.ones(4)}, {"decision": np.arange(4.0)}, {"decision": np.ones(4)}, Resamples(4, count=50)
    )
    assert flat["r2"].value is None and flat["r2"].chance is None
    assert flat["spearman"] == (None, None, None, 0.0)
    single = measure(
        "number", {"value": np.ones(1)}, {"decision": np.zeros(1)}, {"decision": np.ones(1)}, Resamples(1, count=50)
    )
    assert single["neg_mean_absolute_error"] == (-1.0, None, None, 0.0)


def test_chance_is_the_training_prior_on_the_same_rows():
    truth, _ = classes(2, count=3)
    share = np.bincount(truth["label"]) / 120
    prior = {
        "probabilities": np.tile([0.5, 0.3, 0.2], (120, 1)),
        "decision": np.full(120, 2),
    }  # the decision is a threshold's
    levels = chance("class", truth, prior)
    assert levels["accuracy"] == pytest.approx(share[0])
    assert levels["balanced_accuracy"] == pytest.approx(1 / 3)
    assert levels["roc_auc_ovr"] == pytest.approx(0.5)
    assert levels["average_precision"] == pytest.approx(1 / 3)
    assert levels["neg_log_loss"] == pytest.approx(share @ np.log([0.5, 0.3, 0.2]))
    assert levels["expected_calibration_error"] is None


def test_headline_leaves_accuracy_when_one_class_is_most_of_the_training_rows():
    assert headline("class", {"probabilities": np.tile([0.8, 0.2], (5, 1))}) == "accuracy"
    assert headline("class", {"probabilities": np.tile([0.81, 0.19], (5, 1))}) == "balanced_accuracy"


def test_interval_agrees_with_the_plain_bootstrap_and_repeats():
    truth, prediction = classes(4)
    drawn = distribution({"f1": metrics("class", truth, prediction)["f1_macro"]}, Resamples(120, seed=3))["f1"]
    generator = np.random.default_rng(9)
    plain = []
    for _ in range(2000):
        index = generator.integers(0, 120, 120)
        plain.append(sk.f1_score(truth["label"][index], prediction["decision"][index], average="macro"))
    assert drawn.mean() == pytest.approx(np.mean(plain), abs=0.005)
    assert np.percentile(drawn, [2.5, 97.5]) == pytest.approx(np.percentile(plain, [2.5, 97.5]), abs=0.012)
    again = distribution({"f1": metrics("class", truth, prediction)["f1_macro"]}, Resamples(120, seed=3))["f1"]
    assert (drawn == again).all()


def test_resamples_do_not_depend_on_how_they_are_chunked(monkeypatch):
    whole = np.concatenate(list(Resamples(50, count=100, seed=1).chunks()), axis=1)
    monkeypatch.setattr("sensorium.metrics.resampling.CHUNK_ELEMENTS", 50 * 7)
    parts = list(Resamples(50, count=100, seed=1).chunks())
    assert len(parts) == 15
    assert (np.concatenate(parts, axis=1) == whole).all()


def test_rows_of_a_cluster_are_drawn_together():
    clusters = np.array(["b", "a", "b", "c", "a"])
    weights = np.concatenate(list(Resamples(5, clusters, count=200).chunks()), axis=1)
    assert (weights[0] == weights[2]).all() and (weights[1] == weights[4]).all()
    assert (weights[[0, 1, 3]].sum(axis=0) == 3).all()
    assert len(np.unique(weights, axis=1).T) > 5


def test_clustered_interval_covers_where_the_plain_one_does_not():
    """Rows of a cluster share their luck: of 200 worlds, about 95 % of the clustered intervals hold the truth."""
    covered = {"clustered": 0, "plain": 0}
    for seed in range(200):
        generator = np.random.default_rng(seed)
        clusters = np.repeat(np.arange(40), 10)
        score = generator.normal(0, 1, 40)[clusters] + generator.normal(0, 0.3, 400)
        for name, groups in (("clustered", clusters), ("plain", None)):
            found = paired(score, np.zeros(400), groups, count=300, seed=seed)
            covered[name] += found.low <= 0 <= found.high
    assert 178 <= covered["clustered"] <= 199
    assert covered["plain"] < 130


def test_paired_sees_a_difference_that_two_intervals_hide():
    generator = np.random.default_rng(0)
    hard = generator.normal(0, 1, 300)
    better = paired(hard + 0.05 + generator.normal(0, 0.1, 300), hard)
    assert better.low > 0 and better.value == pytest.approx(0.05, abs=0.02)
    same = paired(hard, hard)
    assert same == (0.0, 0.0, 0.0, 0.0)
    assert paired(np.zeros(0), np.zeros(0)) == (None, None, None, 0.0)


@pytest.mark.parametrize("kind", ["class", "labels"])
def test_per_class_and_confusion_agree_with_scikit_learn(kind):
    truth, prediction = classes(0, absent=1) if kind == "class" else labelled(0)
    target = truth["label"] if kind == "class" else truth["labels"]
    expected = sk.precision_recall_fscore_support(
        target, prediction["decision"], labels=range(prediction["probabilities"].shape[1]), zero_division=0
    )
    assert np.array(per_class(kind, truth, prediction)) == pytest.approx(np.array(expected).T)
    if kind == "class":
        assert (
            ClassMetrics.confusion(truth, prediction)
            == sk.confusion_matrix(target, prediction["decision"], labels=range(4))
        ).all()


def test_ten_thousand_rows_of_ten_classes_take_seconds():
    truth, prediction = classes(0, rows=10_000, count=10, round_to=6)
    prior = {"probabilities": np.full((10_000, 10), 0.1), "decision": np.zeros(10_000, int)}
    start = time.process_time()
    measure("class", truth, prediction, prior, Resamples(10_000))
    assert time.process_time() - start < 15  # about 2 on an idle machine; a loop over resamples takes minutes
