"""Experts against independent implementations: scikit-learn's linear models on the same features, honest folds."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from sensorium.data.read import read
from sensorium.data.records import Records
from sensorium.encoders.table_processor import TableProcessor, describe_columns
from sensorium.experts import kinds
from sensorium.experts.base import Material
from sensorium.experts.boosted_trees import BoostedTrees
from sensorium.experts.kinds import EXPERT_KINDS
from sensorium.experts.linear import Linear
from sensorium.experts.views import Columns, Source, WordsProcessor, columns_of, read_view, words_of

ROWS = 240


def folds(count: int = ROWS) -> list[tuple[np.ndarray, np.ndarray]]:
    rows = np.arange(count)
    return [(rows[rows % 4 != fold], rows[rows % 4 == fold]) for fold in range(4)]


def features(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(ROWS, 6)).astype(np.float32) * [1, 2, 3, 1, 1, 1] + 5


def column(values: np.ndarray, absent: np.ndarray | None = None) -> Columns:
    present = np.ones(len(values), bool) if absent is None else ~absent
    return Columns(np.where(present[:, None], values, 0.0).astype(np.float32), present)


def linear(kind: str, outputs: int, strength: float | None = None):
    return Linear.Config(kind=kind, outputs=outputs, sources=[Source("photo", "features")], strength=strength)


def test_a_linear_class_is_scikit_learns_logistic_regression():
    values = features()
    label = (values[:, 0] + 0.5 * values[:, 1] > 7.5).astype(int) + (values[:, 2] > 6)
    expert, honest = Linear.fit(linear("class", 3, 1.0), Material({"photo": column(values)}, label, [], folds()))
    scaled = StandardScaler().fit_transform(values.astype(np.float64)).clip(-8, 8) / np.sqrt(6)
    peer = LogisticRegression(C=1.0).fit(scaled, label)
    ours = EXPERT_KINDS["class"].scores(expert.raw({"photo": column(values)}, []), 0.0)
    assert np.abs(np.exp(ours) - peer.predict_proba(scaled)).max() < 1e-4
    left_out = folds()[1][1]
    learned = folds()[1][0]
    scaler = StandardScaler().fit(values[learned].astype(np.float64))
    peer = LogisticRegression(C=1.0).fit(scaler.transform(values[learned]).clip(-8, 8) / np.sqrt(6), label[learned])
    theirs = peer.predict_proba(scaler.transform(values[left_out]).clip(-8, 8) / np.sqrt(6))
    assert np.abs(np.exp(EXPERT_KINDS["class"].scores(honest[left_out], 0.0)) - theirs).max() < 1e-3


def test_a_linear_number_is_ridge_and_knows_its_error():
    values = features()
    truth = (values[:, 0] - values[:, 2]) / 3 + np.random.default_rng(1).normal(size=ROWS) * 0.5
    expert, honest = Linear.fit(linear("number", 1, 10.0), Material({"photo": column(values)}, truth, [], folds()))
    scaled = StandardScaler().fit_transform(values.astype(np.float64)) / np.sqrt(6)
    peer = Ridge(alpha=0.1).fit(scaled, truth)
    assert np.abs(expert.raw({"photo": column(values)}, [])[:, 0] - peer.predict(scaled)).max() < 1e-4
    assert expert.config.spread == pytest.approx(np.square(honest[:, 0] - truth).mean(), rel=1e-6)


def test_the_strength_is_small_where_nothing_is_to_be_learned_and_large_where_all_is():
    values, chance = features(), np.random.default_rng(2)
    noise = chance.integers(0, 2, ROWS)
    clear = (values[:, 0] > 5).astype(int)
    nothing, _ = Linear.fit(linear("class", 2), Material({"photo": column(values)}, noise, [], folds()))
    everything, _ = Linear.fit(linear("class", 2), Material({"photo": column(values)}, clear, [], folds()))
    assert nothing.config.strength < 0.1 < 10 < everything.config.strength


@pytest.mark.parametrize("sparse", [False, True])
def test_many_classes_are_ridge_regressions_of_their_indicators(sparse, monkeypatch):
    values = StandardScaler().fit_transform(features())
    label = (values[:, 0] > 0).astype(int) + 2 * (values[:, 1] > 0)
    matrix = csr_array(values) if sparse else values
    monkeypatch.setattr(kinds, "MANY_CLASSES", 3)
    weight, bias = EXPERT_KINDS["class"].fit_linear(matrix, label, 4, 0.5)
    peer = Ridge(alpha=2.0).fit(values, np.eye(4)[label])
    scale = weight[0, 0] / peer.coef_.T[0, 0]
    assert min(abs(scale - known) for known in kinds.SCALES) < 1e-6
    assert np.allclose(weight, scale * peer.coef_.T) and np.allclose(bias, scale * peer.intercept_)
    raw = values @ weight + bias
    assert (raw.argmax(axis=1) == label).mean() > 0.9


def test_labels_are_a_logistic_regression_each():
    values = features()
    labels = np.stack([values[:, 0] > 5, values[:, 1] > 5], axis=1).astype(int)
    expert, _ = Linear.fit(linear("labels", 2, 1.0), Material({"photo": column(values)}, labels, [], folds()))
    raw = expert.raw({"photo": column(values)}, [])
    assert (((raw > 0) == labels).mean(axis=0) > 0.9).all()


def test_what_a_record_lacks_pulls_nowhere_and_is_not_learned_from():
    values, absent = features(), np.arange(ROWS) % 3 == 0
    label = (values[:, 0] > 5).astype(int)
    spoiled = np.where(absent[:, None], 1e6, values).astype(np.float32)
    config = linear("class", 2, 1.0)
    expert, honest = Linear.fit(config, Material({"photo": column(values, absent)}, label, [], folds()))
    again, _ = Linear.fit(config, Material({"photo": Columns(spoiled, ~absent)}, label, [], folds()))
    assert np.isnan(honest[absent]).all() and np.isfinite(honest[~absent]).all()
    assert torch.equal(expert.tensors["weight"], again.tensors["weight"])


def test_words_are_tf_idf_and_new_ones_do_not_shrink_the_rest(tmp_path):
    texts = ["the red car", "a blue car", "the green tree", "an old tree tree", "one red apple", "two apples"] * 2
    processor = WordsProcessor.build(texts)
    table = read([{"text": text, "kind": "ab"[i % 2]} for i, text in enumerate(texts)], target="kind",
                 columns={"text": "text"}, quiet=True)  # fmt: skip
    batch = Records(table, {"text": processor}).batch(np.arange(len(texts)))
    source = Source("text", "words")
    columns = columns_of(source, read_view(batch.inputs["text"]), len(processor.vocabulary))
    config = Linear.Config(kind="class", outputs=2, sources=[source], strength=10.0)
    truth = np.arange(len(texts)) % 2
    expert, _ = Linear.fit(config, Material({source.name: columns}, truth, [], []))
    peer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+").fit(texts)
    assert peer.get_feature_names_out().tolist() == processor.vocabulary
    theirs, ours = peer.transform(texts).toarray(), expert.matrix({source.name: columns}).toarray()
    assert np.corrcoef(theirs.ravel(), ours.ravel())[0, 1] > 0.999 and np.allclose((ours**2).sum(axis=1), 1)
    new, known = (processor(text)["words"].tolist() for text in ("the red zeppelin", "the red"))
    assert new == known
    processor.save(tmp_path)
    assert WordsProcessor.load(tmp_path).vocabulary == processor.vocabulary


def test_scripts_without_spaces_are_read_letter_by_letter():
    assert words_of("赤い Car")[:3] == ["赤", "い", "car"]


def cells(records: list[dict]) -> tuple[Columns, TableProcessor]:
    processor = TableProcessor(*describe_columns(records, bins=1), None)
    tensors = processor.pad([processor(record) for record in records])
    return columns_of(Source("table", "cells"), read_view(tensors)), processor


def test_trees_find_an_exclusive_or_among_numbers_and_categories_and_are_kept_as_text(tmp_path):
    chance = np.random.default_rng(3)
    records = [{"size": float(chance.normal()), "colour": str(chance.choice(["red", "blue"]))} for _ in range(ROWS)]
    truth = np.array([(record["size"] > 0) ^ (record["colour"] == "red") for record in records]).astype(int)
    values, processor = cells(records)
    config = BoostedTrees.Config(
        kind="class", outputs=2, sources=[Source("table", "cells")],
        categories={"table/cells": [0] * len(processor.numbers) + [len(c.values) + 1 for c in processor.categories]},
    )  # fmt: skip
    expert, honest = BoostedTrees.fit(config, Material({"table/cells": values}, truth, [], folds()))
    assert (honest.argmax(axis=1) == truth).mean() > 0.9
    _, honest_again = BoostedTrees.fit(config, Material({"table/cells": values}, truth, [], folds()))
    assert np.array_equal(honest, honest_again)
    expert.save(tmp_path)
    loaded = BoostedTrees.load(expert.config, tmp_path)
    raw = expert.raw({"table/cells": values}, [])
    assert np.array_equal(loaded.raw({"table/cells": values}, []), raw)
    alone = expert.raw({"table/cells": values.take(np.array([7]))}, [])
    assert np.array_equal(alone[0], raw[7])


def test_honest_outputs_are_of_records_that_were_not_learned_from():
    """Of pure noise an expert that had seen the record would be right far more often than half the time."""
    chance = np.random.default_rng(4)
    truth = chance.integers(0, 2, ROWS)
    values, _ = cells([{"size": float(chance.normal()), "age": float(chance.normal())} for _ in range(ROWS)])
    config = BoostedTrees.Config(kind="class", outputs=2, sources=[Source("table", "cells")], rounds=[200],
                                 categories={"table/cells": [0, 0]})  # fmt: skip
    expert, honest = BoostedTrees.fit(config, Material({"table/cells": values}, truth, [], folds()))
    assert (honest.argmax(axis=1) == truth).mean() < 0.6
    assert (expert.raw({"table/cells": values}, []).argmax(axis=1) == truth).mean() > 0.9


def test_a_number_is_learned_in_its_heads_unit():
    decision = SimpleNamespace(config=SimpleNamespace(mean=100.0, scale=10.0))
    target = {"value": torch.tensor([90.0, 120.0], dtype=torch.float64)}
    assert EXPERT_KINDS["number"].truth(decision, target).tolist() == [-1.0, 2.0]


@pytest.mark.parametrize("kind", ["class", "number"])
def test_a_source_that_says_nothing_counts_less_than_one_that_says_much(kind, tmp_path):
    chance = np.random.default_rng(3)
    columns = {"noise": column(chance.normal(size=(ROWS, 300))), "signal": column(chance.normal(size=(ROWS, 8)))}
    signal = columns["signal"].values[:, :4].sum(axis=1) / 2 + chance.normal(size=ROWS) * 0.3
    truth, outputs = (signal, 1) if kind == "number" else ((signal > 0).astype(int), 2)
    sources = [Source("noise", "features"), Source("signal", "features")]
    config = Linear.Config(kind=kind, outputs=outputs, sources=sources, required=["noise", "signal"])
    material = Material(columns, truth, [], folds())
    expert, honest = Linear.fit(config, material)
    noise, spoken = expert.config.factors
    assert noise < 1 <= spoken
    # Both count alike with the factors that a checkpoint from before has.
    alike, alike_honest = Linear.fit(config.model_copy(update={"strength": expert.config.strength}), material)
    assert alike.config.factors == []
    loss = EXPERT_KINDS[kind].loss
    assert loss(honest, truth) < 0.9 * loss(alike_honest, truth)
    # Learned again as stated, and from a checkpoint, it is the same.
    again, again_honest = Linear.fit(expert.config, material)
    assert np.allclose(again_honest, honest, atol=1e-3)
    again.save(tmp_path)
    loaded = Linear.load(Linear.Config(**again.config.model_dump()), tmp_path)
    assert np.allclose(loaded.raw(columns, []), expert.raw(columns, []), atol=1e-3)
