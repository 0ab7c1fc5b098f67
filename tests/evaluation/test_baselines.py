"""Cheap baselines learn what they can read from the training records alone, and no failure of theirs ends a run."""

import warnings

import numpy as np
import pandas as pd
import pytest

from sensorium.data.read import read
from sensorium.data.table import Table
from sensorium.evaluation import baseline_models
from sensorium.evaluation.baseline_models import CellSource, LogisticClass, TextSource, TrainingRecords, sources
from sensorium.evaluation.baselines import Baseline, Scored
from sensorium.evaluation.columns import TARGET_COLUMNS
from sensorium.metrics import Columns, Resamples

KINDS = {"note": "text", "size": "number", "shop": "category", "day": "date"}
TARGETS = {"kind": "class", "price": "number", "marks": "labels"}
NAMES = ["TF-IDF of note", "size, shop, day"]


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


def compared(training: Table, table: Table, name: str) -> dict[str, Baseline]:
    """The baselines of one target, beside a model that knows nothing."""
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
    assert list(found) == ["always the commonest class", "size, shop, day, logistic regression"]


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
            decided = LogisticClass.predict(features, {"label": label}, features, 2, metric)["decision"]
        recall[metric] = decided[label == 1].mean()
    assert recall["accuracy"] < 0.4 < 0.6 < recall["balanced_accuracy"]


def test_scripts_without_spaces_have_words():
    table = read(pd.DataFrame({"note": ["猫が好き", "犬が好き"] * 10}), columns={"note": "text"}, quiet=True)
    learned, _ = TextSource(table.schema.inputs[0]).features(table, table, 2)
    assert learned.shape[1] == 5 + 4  # letters, and pairs of them
