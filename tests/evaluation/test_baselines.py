"""Cheap baselines learn what they can read from the training records alone, and no failure of theirs ends a run."""

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import sensorium
from sensorium.data.read import read
from sensorium.data.records import Records
from sensorium.data.table import Table
from sensorium.evaluation import baseline_models, rivals
from sensorium.evaluation.baseline_models import (
    CellSource,
    LogisticClass,
    TextSource,
    TrainingRecords,
    predict_linear,
    sources,
)
from sensorium.evaluation.baselines import Baseline, Scored
from sensorium.evaluation.columns import TARGET_COLUMNS
from sensorium.evaluation.rivals import Training
from sensorium.experts import BoostedTrees, Linear
from sensorium.experts.together import Named
from sensorium.experts.views import Source
from sensorium.features import Features
from sensorium.metrics import Columns, Resamples

KINDS = {"note": "text", "size": "number", "shop": "category", "day": "date"}
TARGETS = {"kind": "class", "price": "number", "marks": "labels"}
NAMES = ["TF-IDF of note", "size, shop, day", "size, shop, day"]
ENCODER = SimpleNamespace(config=SimpleNamespace(model="a_published_model"))


class KeptFeatures:
    """Features of every record of a table, drawn around its class; absent in every fifth."""

    def __init__(self, table: Table):
        noise = np.random.default_rng(1).normal(size=(len(table), 8))
        shift = np.array(["xyz".index(label) for label in table.frame["kind"]])
        self.pooled = torch.from_numpy(noise + 3 * np.eye(8)[shift]).float()
        self.present = torch.arange(len(table)) % 5 > 0

    def read(self, rows: np.ndarray, views: None = None) -> Features:
        return Features.one(self.pooled[rows], self.present[rows])


def training_of(training: Table, table: Table, *experts: Named, features: bool = False) -> Training:
    """The training records of a model with these experts, beside the scored ones; both with features of 'note'."""
    model = SimpleNamespace(
        read=lambda records: records, encoders={"note": ENCODER}, experts=SimpleNamespace(experts=list(experts))
    )
    stores = [{"note": KeptFeatures(records)} if features else {} for records in (training, table)]
    return Training(model, Records(training, {}, stores=stores[0]), Records(table, {}, stores=stores[1]))


def shop_table(rows: int = 240, seed: int = 0) -> Table:
    """The note tells the class and one label, the size tells the price; a tenth of every input is absent."""
    generator = np.random.default_rng(seed)
    label, size = generator.integers(0, 3, rows), generator.normal(size=rows)
    frame = pd.DataFrame(
        {
            "note": [f"a {['cat', 'dog', 'cow'][index]} of no {generator.integers(9)}" for index in label],
            "size": size,
            "shop": generator.choice(["north", "south"], rows),
            "day": [f"2024-03-{generator.integers(10, 29)}" for _ in range(rows)],
            "kind": [["x", "y", "z"][index] for index in label],
            "price": 3 * size + generator.normal(size=rows) + 20,
            "marks": [["m"] * int(index > 0) + ["n"] * int(generator.random() < 0.5) for index in label],
        }
    )
    for name in KINDS:
        frame[name] = frame[name].astype(object).where(generator.random(rows) > 0.1, None)
    return read(frame, target=TARGETS, columns=KINDS, quiet=True)


def compared(training: Table | Training | None, table: Table, name: str) -> dict[str, Baseline]:
    """The baselines of one target, beside a model that knows nothing."""
    training = training_of(training, table) if isinstance(training, Table) else training
    target = next(spec for spec in table.schema.targets if spec.name == name)
    truth = {key: tensor.numpy() for key, tensor in table.encode_target(target).items()}
    nothing: Columns = {
        "class": {"decision": np.zeros(len(table), int), "probabilities": np.full((len(table), 3), 1 / 3)},
        "number": {"decision": np.full(len(table), 20.0)},
        "labels": {"decision": np.zeros((len(table), 2), bool), "probabilities": np.full((len(table), 2), 0.5)},
    }[target.kind]
    inputs = tuple(spec.name for spec in table.schema.inputs)
    scored = Scored(target, table, truth, {(): nothing, inputs: nothing}, Resamples(len(table), None, 200))
    return TARGET_COLUMNS[target.kind].baselines(scored, training)


@pytest.fixture(scope="module")
def tables() -> tuple[Table, Table]:
    table = shop_table()
    return table.take(np.arange(160)), table.take(np.arange(160, 240))


@pytest.mark.parametrize(("target", "telling", "least"), [("kind", 0, 0.75), ("price", 1, 0.5), ("marks", 0, 0.6)])
def test_a_baseline_learns_what_its_input_tells(tables, target, telling, least):
    found = compared(*tables, target)
    constant, *learned = found
    assert [name.rsplit(",", 1)[0] for name in learned] == NAMES
    values = [found[name].value for name in learned]
    assert values[telling].value > least and values[telling].value == max(value.value for value in values)
    for name in learned:
        assert found[name].value.low < found[name].value.value < found[name].value.high
    best = found[learned[telling]].above
    assert best.high < 0  # the model, which knows nothing, is below it
    assert best.value == pytest.approx(found[constant].value.value - values[telling].value, abs=1e-3)


def test_trees_find_what_no_line_does_and_take_a_cell_as_absent_or_unknown():
    generator = np.random.default_rng(0)
    size, shop = generator.normal(size=400), generator.choice(["north", "south"], 400)
    frame = pd.DataFrame({"size": size, "shop": shop, "price": np.abs(size) * np.where(shop == "north", 1, -1)})
    frame.loc[::7, "shop"] = None
    table = read(frame, target={"price": "number"}, columns={"size": "number", "shop": "category"}, quiet=True)
    training, scored = table.take(np.arange(300)), table.take(np.arange(300, 400))
    found = compared(training, scored, "price")
    linear, trees = (found[f"size, shop, {method}"].value.value for method in ("ridge regression", "boosted trees"))
    assert trees > linear + 0.1 and found["size, shop, boosted trees"].value == compared(
        training, scored, "price")["size, shop, boosted trees"].value  # fmt: skip
    odd = Table(scored.frame.assign(shop="nowhere", size=None), table.schema, ".", scored.rows)
    learned, applied, categories = CellSource(table.schema.inputs).codes(training, odd)
    assert categories == [0, 3] and np.isnan(applied[:, 0]).all() and (applied[:, 1] == 0).all()
    assert set(learned[::7, 1][~np.isnan(learned[::7, 1])]) == set() and set(learned[1:7, 1]) <= {1, 2}


def test_features_that_a_run_keeps_are_learned_from_where_there_are_any(tables, monkeypatch):
    training = training_of(*tables, features=True)
    name = "features of note (a_published_model), logistic regression"
    found = compared(training, tables[1], "kind")
    assert list(found)[-1] == name and found[name].value.value > 0.7
    some = tables[1].take(np.arange(1, 80, 2))  # of other records than all that have features
    assert compared(training, some, "kind")[name].value.value > 0.7
    monkeypatch.setattr(rivals, "MOST_VALUES", 8 * 50)
    assert name + " (50 records)" in compared(training, tables[1], "kind")


def test_a_run_hands_over_its_training_records_and_the_features_that_it_keeps(tmp_path):
    """The class is drawn at random, so that only who learned from the scored records' own words could tell it."""
    frame = pd.DataFrame(
        {"note": [f"note{row}" for row in range(100)], "size": np.random.default_rng(0).normal(size=100)}
    )
    frame["kind"] = np.random.default_rng(1).permutation(["x", "y"] * 50)
    options = {"columns": {"note": "text", "size": "number"}, "recipe": {"inputs": {"note": {"frozen": True}}}}
    run = sensorium.fit(frame, tmp_path / "run", target="kind", epochs=1, test=0.3, quiet=True, **options)
    found = run.report.targets[0].baselines
    assert list(found)[1:] == [
        "TF-IDF of note, logistic regression",
        "size, logistic regression",
        "size, boosted trees",
        "features of note (text), logistic regression",
    ]
    assert all(baseline.value.value < 0.75 for baseline in found.values())


def test_a_baseline_that_is_an_expert_of_the_model_is_marked(tables):
    cells = [Source(spec.name, "cells") for spec in tables[1].schema.inputs if spec.modality == "table"]
    expert = BoostedTrees(BoostedTrees.Config(kind="class", outputs=3, sources=cells), [], {})
    words = Linear(Linear.Config(kind="class", outputs=3, sources=[Source("note", "words"), *cells]), {})
    training = training_of(*tables, Named("boosted_trees", "kind", expert), Named("linear", "kind", words))
    parts = {name for name, baseline in compared(training, tables[1], "kind").items() if baseline.is_part}
    assert parts == {"size, shop, day, boosted trees"}
    assert not any(baseline.is_part for baseline in compared(training, tables[1], "price").values())


def test_without_training_records_there_is_the_prior_alone(tables):
    assert list(compared(None, tables[1], "kind")) == ["always the commonest class"]


def test_what_it_has_not_learned_from_does_not_matter(tables):
    training, table = tables
    source = next(source for source in sources(table.schema) if isinstance(source, CellSource))
    learned, applied = source.features(training, table, 3)
    assert np.isfinite(learned).all() and np.isfinite(applied).all()
    odd = table.frame.assign(shop="nowhere", size=None)
    again, strange = source.features(training, Table(odd, table.schema, table.root, table.rows), 3)
    assert (again == learned).all() and np.isfinite(strange).all()
    words = TextSource(table.schema.inputs[0])
    assert words.features(training, Table(table.frame.assign(note=None), table.schema, ".", table.rows), 3)[1].nnz == 0


def test_a_failure_is_a_sentence(tables, monkeypatch):
    def fails(*arguments):
        raise MemoryError("no memory")

    monkeypatch.setattr(TextSource, "features", fails)
    with pytest.warns(UserWarning, match="'kind' has no baseline 'TF-IDF of note, logistic regression': no memory"):
        found = compared(*tables, "kind")
    cells = ["size, shop, day, logistic regression", "size, shop, day, boosted trees"]
    assert list(found) == ["always the commonest class", *cells]


def test_no_more_records_than_stated_are_learned_from(tables, monkeypatch):
    monkeypatch.setattr(baseline_models, "MOST_ROWS", 50)
    target = tables[0].schema.targets[0]
    records = TrainingRecords.of(tables[0], target, seed=0)
    assert len(records.table) == len(records.truth["label"]) == 50 and records.note == " (50 records)"
    monkeypatch.setattr(baseline_models, "MOST_ROWS", 500)
    assert TrainingRecords.of(tables[0], target, seed=0).note == ""


def test_imbalanced_classes_weigh_the_same():
    generator = np.random.default_rng(0)
    label = (generator.random(600) < 0.1).astype(int)
    features = generator.normal(size=(600, 1)) + 1.2 * label[:, None]
    recall = {}
    for metric in ("accuracy", "balanced_accuracy"):
        with warnings.catch_warnings(action="error"):
            decided = predict_linear(LogisticClass, features, {"label": label}, features, 2, metric)["decision"]
        recall[metric] = decided[label == 1].mean()
    assert recall["accuracy"] < 0.4 < 0.6 < recall["balanced_accuracy"]


def test_scripts_without_spaces_have_words():
    table = read(pd.DataFrame({"note": ["猫が好き", "犬が好き"] * 10}), columns={"note": "text"}, quiet=True)
    learned, _ = TextSource(table.schema.inputs[0]).features(table, table, 2)
    assert learned.shape[1] == 5 + 4  # letters, and pairs of them
