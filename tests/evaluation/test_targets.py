"""evaluate: the report of a table, what is saved, and the mistakes that it names."""

import json

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
import torch

from sensorium.data.schema import Column, InputSpec, TargetSpec
from sensorium.errors import UserError
from sensorium.evaluation import coalitions, evaluate_targets, score
from sensorium.evaluation.target import report_target
from sensorium.metrics import Resamples
from tests.evaluation.planted import Planted, schema, table, world


def several(rows: int = 120, group: bool = True):
    """Three targets of three kinds, each known in other rows, from inputs a and [b] (absent in some)."""
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=rows), generator.normal(size=rows)
    columns = {"a": np.where(np.arange(rows) % 7 == 0, np.nan, a), "[b]": b}
    columns["answer"] = np.where(a + generator.normal(0, 0.3, rows) > 0, "yes", "no").astype(object)
    columns["marks"] = np.where(b + generator.normal(0, 0.3, rows) > 0, "up", "down").astype(object)
    columns["size"] = 100 + 5 * a + 2 * b + generator.normal(size=rows)
    columns["answer"][::5] = None
    columns["marks"][1::5] = None
    columns["size"][2::5] = np.nan
    if group:
        columns["who"] = np.array([f"g{row // 4}" for row in range(rows)], dtype=object)
    form = schema(["a", "[b]"], {"answer": "class", "marks": "labels", "size": "number"}, "who" if group else None)
    rules = {
        "answer": lambda numbers: 2 * numbers["a"],
        "marks": lambda numbers: 2 * numbers["[b]"],
        "size": lambda numbers: 100 + 5 * numbers["a"] + 2 * numbers["[b]"],
    }
    return Planted(form, rules, {"answer": 0.45, "marks": 0.4, "size": 99.0}), table(columns, form)


def test_each_target_is_measured_on_the_records_that_have_it(tmp_path):
    model, records = several()
    report = evaluate_targets(model, records, out=tmp_path, resamples=200, train_seconds=12.5)
    saved = json.loads((tmp_path / "metrics.json").read_text())
    assert saved == report.to_dict() == json.loads(json.dumps(report.to_dict()))
    assert saved["records"] == {
        "all": 120,
        "inputs": {"a": 102, "[b]": 120},
        "targets": {"answer": 96, "marks": 96, "size": 96},
        "bad": 0,
    }
    frame = records.frame[records.frame["answer"].notna()]
    decided = np.where(frame["a"].fillna(0) > 0, "yes", "no")
    answer = saved["targets"]["answer"]
    assert answer["accuracy"]["value"] == pytest.approx(sk.accuracy_score(frame["answer"], decided))
    assert answer["accuracy"]["chance"] == pytest.approx((frame["answer"] == "no").mean())
    assert answer["accuracy"]["low"] < answer["accuracy"]["value"] < answer["accuracy"]["high"]
    labels = ["no", "yes"]
    assert saved["confusion"]["answer"] == {
        "labels": labels,
        "counts": sk.confusion_matrix(frame["answer"], decided, labels=labels).tolist(),
    }
    assert saved["classes"]["answer"]["yes"]["support"] == (frame["answer"] == "yes").sum()
    frame = records.frame[records.frame["size"].notna()]
    given = 100 + 5 * frame["a"].fillna(0) + 2 * frame["[b]"]
    assert saved["targets"]["size"]["r2"]["value"] == pytest.approx(sk.r2_score(frame["size"], given), abs=1e-5)
    assert saved["inputs"]["size"]["metric"] == "r2" and saved["inputs"]["marks"]["metric"] == "average_precision"
    assert set(saved["inputs"]["answer"]) == {"metric", "a", "[b]"}
    assert set(saved["inputs"]["answer"]["a"]) == {"alone", "without", "shapley"}
    assert set(saved["inputs"]["answer"]["a"]["alone"]) == {"value", "low", "high"}
    assert set(saved["cost"]) == {"parameters", "train_seconds", "latency_ms"}
    assert saved["cost"]["parameters"] == 1 and saved["cost"]["latency_ms"]["batch_1"]["p50"] > 0


def test_scores_hold_every_record_and_coalition(tmp_path):
    model, records = several()
    evaluate_targets(model, records, out=tmp_path, resamples=50)
    scores = pd.read_parquet(tmp_path / "scores.parquet")
    # Of two inputs, only the one is without the other.
    assert scores.groupby("coalition").size().to_dict() == {"all": 120, "none": 120, "only a": 120, "only [b]": 120}
    whole = scores[scores["coalition"] == "all"].reset_index(drop=True)
    assert whole["key"].tolist() == records.keys and whole["group"].tolist() == records.groups.tolist()
    assert whole["answer"].isna().sum() == 24 and whole["answer_loss"].isna().sum() == 24
    known = whole.dropna(subset="answer")
    assert known["answer"].tolist() == records.frame["answer"].dropna().tolist()
    right = np.where(known["answer"] == "yes", known["answer_probability_yes"], known["answer_probability_no"])
    assert known["answer_loss"].to_numpy() == pytest.approx(-np.log(right))
    assert set(whole["answer_decision"]) == {"yes", "no"}
    marks = whole.dropna(subset="marks")
    assert [list(one) for one in marks["marks"]] == [[one] for one in records.frame["marks"].dropna()]
    assert [list(one) for one in whole["marks_decision"]][:3] == [
        ["up" if row > 0 else "down"] for row in records.frame["[b]"][:3]
    ]
    nobody = scores[scores["coalition"] == "none"]
    assert nobody["answer_probability_yes"].to_numpy() == pytest.approx(0.45)
    assert nobody["size_decision"].to_numpy() == pytest.approx(99)
    assert not list(tmp_path.glob(".*"))


def test_twice_gives_the_same_figures_and_another_seed_others():
    model, records = several()
    one, two, three = (evaluate_targets(model, records, resamples=100, seed=seed).to_dict() for seed in (0, 0, 1))
    assert one["targets"] == two["targets"] and one["inputs"] == two["inputs"]
    assert one["targets"]["size"]["r2"]["value"] == three["targets"]["size"]["r2"]["value"]
    assert one["targets"]["size"]["r2"]["low"] != three["targets"]["size"]["r2"]["low"]


def test_intervals_are_drawn_by_group():
    """Rows of a group are copies, so that the interval is as wide as that of one row of each."""
    generator = np.random.default_rng(0)
    code, yes = generator.normal(size=40), generator.random(40) > 0.5
    yes = np.where(generator.random(40) < 0.7, code > 0, yes)
    widths = {}
    for copies, group in ((1, None), (10, "who"), (10, None)):
        form = schema(["code"], {"answer": "class"}, group)
        columns = {
            "code": np.repeat(code, copies),
            "answer": np.repeat(np.where(yes, "yes", "no").astype(object), copies),
        }
        columns |= {"who": np.repeat(np.arange(40).astype(str).astype(object), copies)}
        model = Planted(form, {"answer": lambda numbers: numbers["code"]}, {"answer": 0.5})
        value = evaluate_targets(model, table(columns, form)).targets[0].metrics["accuracy"]
        widths[copies, group] = value.high - value.low
    assert widths[10, "who"] == pytest.approx(widths[1, None], abs=0.03)
    assert widths[10, None] < 0.5 * widths[1, None]


def test_each_batch_is_encoded_once_and_the_model_is_left_as_it_was():
    model, records = several()
    model.train()
    scores = score(model, model.batches(records), coalitions(("a", "[b]")))
    assert model.encoded == 2 and model.training
    assert len(scores.predictions) == 4
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluate_targets(model.eval(), records, resamples=20)
    assert not model.training
    assert all((model.state_dict()[name] == value).all() for name, value in before.items())


def test_a_table_without_target_columns_is_a_users_mistake():
    model, records = several()
    records.frame = records.frame.drop(columns=["answer", "marks", "size"])
    with pytest.raises(UserError, match=r"none of the model's target columns \(answer, marks, size\)"):
        evaluate_targets(model, records)


def test_a_table_whose_targets_are_all_unknown_is_a_users_mistake():
    model, records = several()
    columns = {name: records.frame[name].to_numpy() for name in ("a", "[b]")}
    with pytest.raises(UserError, match="None of the 120 records has a target"):
        evaluate_targets(model, table(columns | {"answer": np.full(120, None, dtype=object)}, records.schema))


def test_a_target_that_the_table_lacks_is_left_out():
    model, records = several()
    records.frame = records.frame.drop(columns=["marks"])
    assert list(evaluate_targets(model, records, resamples=20).to_dict()["targets"]) == ["answer", "size"]


def test_no_records_and_an_unknown_way_are_users_mistakes():
    model, records = several()
    with pytest.raises(UserError, match="no records"):
        evaluate_targets(model, records.take(np.arange(0)))
    with pytest.raises(UserError, match="skip"):
        evaluate_targets(model, records, bad_records="skp")


def test_bad_records_are_set_aside_counted_and_listed(tmp_path):
    form = schema(["a"], {"answer": "class"})
    photo = Column(name="photo", kind="image", reason="")
    inputs = [*form.inputs, InputSpec(name="photo", modality="image", columns=["photo"])]
    form = form.model_copy(update={"columns": [*form.columns, photo], "inputs": inputs})
    paths = np.full(20, None, dtype=object)
    paths[[3, 7]] = "gone.png", "lost.png"
    columns = {"a": np.ones(20), "photo": paths, "answer": np.where(np.arange(20) > 9, "yes", "no").astype(object)}
    model = Planted(form, {"answer": lambda numbers: numbers["a"]}, {"answer": 0.5})
    report = evaluate_targets(model, table(columns, form), out=tmp_path, bad_records="skip", resamples=20)
    assert report.records == 18 and report.to_dict()["records"]["bad"] == 2 and "2 bad records" in str(report)
    assert pd.read_csv(tmp_path / "bad_records.csv")["row"].tolist() == [4, 8]


def test_batches_of_other_records_are_refused():
    model, records = several()
    with pytest.raises(ValueError, match="not the records"):
        evaluate_targets(model, records, batches=model.batches(records.take(np.arange(100))))


def test_a_prediction_that_is_not_finite_names_its_record():
    model, records = several()
    model.rules["size"] = lambda numbers: torch.where(numbers["[b]"] > 2, torch.nan, numbers["a"])
    first = records.keys[int(np.argmax(records.frame["[b]"] > 2))]
    with pytest.raises(UserError, match=f"'size' for the record '{first}' is not a finite number"):
        evaluate_targets(model, records)


def test_the_printed_report_shows_what_a_person_asks_for():
    model, records = several()
    text = str(evaluate_targets(model, records, resamples=100))
    for words in ("answer: 96 records", "chance", "balanced_accuracy", "precision", "left out", "Shapley", "[b]"):
        assert words in text, words
    assert "expected_calibration_error" in text and "\u2013" in text
    assert "'a' earns its keep most" in text and "size (target)" in text and "1 parameter;" in text


def test_one_record_is_enough_and_has_no_intervals(tmp_path):
    model, records = world({"a": np.ones(1)}, np.array([True]), lambda numbers: numbers["a"])
    report = evaluate_targets(model, records, out=tmp_path, resamples=20)
    assert report.targets[0].metrics["accuracy"] == (1.0, None, None, 0.0)
    assert report.targets[0].metrics["roc_auc"].value is None
    assert "NaN" not in (tmp_path / "metrics.json").read_text()


def test_an_input_called_metric_does_not_hide_the_metric():
    model, records = world({"metric": np.ones(10)}, np.arange(10) > 4, lambda numbers: numbers["metric"])
    inputs = evaluate_targets(model, records, resamples=20).to_dict()["inputs"]["answer"]
    assert inputs["metric"] == "accuracy" and set(inputs["metric (input)"]) == {"alone", "without", "shapley"}


def test_scores_of_more_classes_than_the_target_has_are_an_error():
    target = TargetSpec(name="answer", kind="class", labels=["yes", "no"])
    truth = {"label": np.array([0, 1, 2, 0])}
    probabilities = np.eye(3)[truth["label"]] * 0.7 + 0.1
    predicted = {"probabilities": probabilities, "decision": probabilities.argmax(axis=1)}
    with pytest.raises(ValueError, match="zip"):
        report_target(target, truth, {("a",): predicted, (): predicted}, ("a",), Resamples(4, None, 20, 0))
