"""Answers from one end to the other: fitted, scored beside their baselines, predicted, reported, saved and loaded."""

import json

import pandas as pd
import pytest

import sensorium
from sensorium.comparison.compare import compare
from sensorium.errors import UserError
from sensorium.inference.predict import predict
from sensorium.inspection.inspect import inspect
from sensorium.objectives.distillation import class_order
from sensorium.reports.report import report
from tests import question_scenes

COLUMNS = {"question": "text", "question_type": "ignored"}
OPTIONS = {
    "target": {"answer": "answer"},
    "columns": COLUMNS,
    "group": "photo",
    "epochs": 2,
    "learning_rate": 0.003,
    "fusion": "film",
    "quiet": True,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers")
    question_scenes.make(folder, 40)
    question_scenes.make(folder, 20, "new", seed=1)
    return folder, sensorium.fit(folder / "questions.csv", folder / "run", test=0.25, **OPTIONS)


def test_a_fit_of_answers_is_scored_beside_two_baselines(world):
    folder, run = world
    figures = json.loads((folder / "run" / "metrics.json").read_text())
    assert set(figures["targets"]["answer"]) == {"vqa_accuracy", "exact_match"}
    assert figures["inputs"]["answer"]["metric"] == "vqa_accuracy"
    known = figures["baselines"]["answer"]
    assert known["metric"] == "vqa_accuracy" and set(known) == {"metric", "commonest", "without_picture"}
    for name in ("commonest", "without_picture"):
        assert known[name]["low"] < known[name]["value"] < known[name]["high"]
    alone = figures["inputs"]["answer"]["question"]["alone"]
    assert known["without_picture"]["value"] == alone["value"]
    assert "the usual answer to the question" in str(run.report) and "the model without the picture" in str(run.report)


def test_the_usual_answer_is_that_of_records_that_are_not_scored(world):
    folder, run = world
    spec = run.model.schema.targets[0]
    table = pd.read_csv(folder / "questions.csv")
    scored = set(pd.read_parquet(folder / "run" / "scores.parquet")["key"])
    seen = table[[str(row + 1) not in scored for row in table.index]]
    assert set(spec.usual) == set(seen["question"].str.lower())
    for question in ("What is the shape?", "Is the shape red?"):
        said = seen[seen["question"] == question]["answer"].map(json.loads)
        counted = pd.Series([one for cell in said for one in [cell[0]]]).value_counts()
        assert spec.labels[spec.usual[question.lower()]] in counted[counted == counted.max()].index
    assert "thing" in spec.labels and len(spec.labels) == 8


def test_a_saved_run_scores_another_table_and_its_report_shows_answers(world):
    folder, _ = world
    found = sensorium.evaluate(sensorium.load(folder / "run"), sensorium.read(
        folder / "new.csv", target={"answer": "answer"}, group="photo", columns=COLUMNS, quiet=True
    ))  # fmt: skip
    assert found.to_dict()["baselines"]["answer"]["commonest"]["value"] > 0.3
    page = report(folder / "run").read_text(encoding="utf-8")
    assert "VQA accuracy" in page and "Answers that most people did not give" in page


def test_predictions_have_one_probability_a_record(world):
    folder, run = world
    predict(folder / "run", folder / "new.csv", folder / "said.csv")
    said = pd.read_csv(folder / "said.csv")
    assert said.columns.tolist() == ["key", "answer", "answer_probability", "absent"]
    labels = run.model.schema.targets[0].labels
    assert set(said["answer"]) <= set(labels) and said["answer_probability"].between(0, 1).all()
    (one,) = sensorium.load(folder / "run").predict([{"question": "What is the shape?", "photo": None}])
    assert one["answer"]["decision"] in labels and one["absent"] == ["photo"]


def test_types_of_questions_are_scored_where_the_table_says_them(world):
    folder, run = world
    found = json.loads((folder / "run" / "metrics.json").read_text())["question_types"]["answer"]
    assert found["metric"] == "vqa_accuracy" and set(found["types"]) == {"what", "is"}
    assert found["types"]["what"]["records"] == 2 * found["types"]["is"]["records"] == 20
    assert found["gap"]["value"] == pytest.approx(
        max(one["value"] for one in found["types"].values()) - min(one["value"] for one in found["types"].values())
    )
    assert "by question_type" in str(run.report)
    shown = (folder / "run" / "report.html").read_text(encoding="utf-8")
    assert "the model without the picture" in shown


def test_types_of_answers_are_scored_too_and_types_of_few_questions_are_not(world):
    folder, _ = world
    frame = pd.read_csv(folder / "new.csv")
    frame["answer_type"] = ["number" if row < 4 else "yes/no" if row % 2 else "other" for row in range(len(frame))]
    frame["question_type"] = [f"type {row // 10}" for row in range(len(frame))]  # VQA v2 has 65
    columns = COLUMNS | {"answer_type": "ignored"}
    found = sensorium.evaluate(sensorium.load(folder / "run"), sensorium.read(
        frame, target={"answer": "answer"}, group="photo", columns=columns, root=folder, quiet=True
    ))  # fmt: skip
    said = found.to_dict()
    assert {name: one["records"] for name, one in said["answer_types"]["answer"]["types"].items()} == {
        name: int(count) for name, count in frame["answer_type"].value_counts().items() if name != "number"
    }
    assert len(said["question_types"]["answer"]["types"]) == len(frame) // 10
    assert "by answer_type" in str(found) and "4 records of other types" in str(found)


def test_pictures_that_are_asked_about_again_are_named_as_a_group_to_be(world, capsys):
    folder, _ = world
    options = OPTIONS | {"group": None, "quiet": False, "epochs": 1}
    sensorium.fit(folder / "new.csv", folder / "loose", **options)
    said = " ".join(capsys.readouterr().out.split())
    assert "The 60 records ask about 20 pictures of 'photo'; with --group photo" in said


def test_answers_are_compared_by_vqa_accuracy_and_learn_from_no_teacher(world, tmp_path):
    folder, run = world
    options = {name: value for name, value in OPTIONS.items() if name not in ("fusion", "epochs")}
    found = compare(folder / "new.csv", tmp_path / "compared", fusion="concat,film", folds=2, epochs=1, **options)
    assert found.measure == "VQA accuracy" and 0 <= found.contenders[0].value.value <= 1
    with pytest.raises(UserError, match="which is learned from people and not from a teacher's decision"):
        class_order("answer", run.model.schema, run.model.schema)


def test_a_look_at_the_table_counts_answers_and_finds_no_contradiction(world):
    folder, _ = world
    found = inspect(
        folder / "questions.csv", workers=0, **{name: OPTIONS[name] for name in ("target", "columns", "group")}
    )
    assert found.classes["answer"]["thing"] > 0 and found.plan is not None
    assert "contradictory-target" not in {one.kind for one in found.findings}
