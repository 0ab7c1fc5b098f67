"""Runs that learn by more than their targets: aligned inputs, a teacher, learned weights."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import sensorium
from sensorium.build.objectives import with_objectives, with_views
from sensorium.config.load import check_recipe
from sensorium.config.options import apply_options
from sensorium.data.records import Records, load
from sensorium.errors import UserError
from sensorium.objectives import OBJECTIVES, Supervised, Triplet

KINDS = {"words": "text", "note": "text", "size": "number"}
WORDS = ["red", "green", "blue", "black"]


def records(rows: int = 48, labelled: float = 1.0, seed: int = 0) -> pd.DataFrame:
    """The colour of `words` and `note` decides the target; `size` is its number; some records lack a note."""
    chance = np.random.default_rng(seed)
    colour = chance.integers(0, 4, rows)
    frame = pd.DataFrame(
        {
            "words": [f"a {WORDS[one]} thing, number {row}" for row, one in enumerate(colour)],
            "note": [f"{WORDS[one]} again" if chance.random() > 0.2 else None for one in colour],
            "size": colour + 0.1 * chance.normal(size=rows),
            "y": np.where(colour % 2, "odd", "even").astype(object),
        }
    )
    frame.loc[chance.random(rows) >= labelled, "y"] = None
    return frame


def fit(folder: Path, table: pd.DataFrame, **options) -> sensorium.Run:
    return sensorium.fit(
        table, folder, quiet=True, **{"target": "y", "columns": KINDS, "epochs": 1, "refit": False} | options
    )


def logged(folder: Path) -> dict[str, float]:
    """The last epoch."""
    with open(folder / "log.csv", newline="") as file:
        return {name: float(value) for name, value in list(csv.DictReader(file))[-1].items()}


def test_a_fit_brings_inputs_together_by_every_objective(tmp_path):
    pairs = ["words,note=contrastive+triplet", "note,size=information", "words,size=correlation+dual"]
    run = fit(tmp_path / "run", records(), align=pairs, loss_weights="uncertainty", space=8)
    losses = ["words_note", "words_note_triplet", "note_size_information", "words_size_correlation", "words_size_dual"]
    figures = logged(tmp_path / "run")
    assert all(np.isfinite(figures[f"loss_{name}"]) for name in [*losses, "y"])
    assert figures["loss"] == pytest.approx(sum(figures[f"loss_{name}_weighted"] for name in [*losses, "y"]))
    assert {name: part.out_features for name, part in run.model.projections.items()} == dict.fromkeys(KINDS, 8)
    model = sensorium.load(tmp_path / "run")
    assert model.embed([{"words": "a red thing"}], "words").shape == (1, 8)
    again = fit(tmp_path / "again", records(), recipe=tmp_path / "run" / "recipe.yaml")
    assert logged(tmp_path / "again")["loss"] == figures["loss"]
    assert again.report.to_dict()["targets"] == run.report.to_dict()["targets"]


def test_a_run_that_goes_on_keeps_its_space(tmp_path):
    fit(tmp_path / "old", records(), align=["words,note", "words,size=triplet"], space=8)
    options = {"start_from": tmp_path / "old", "epochs": 1, "quiet": True}
    run = sensorium.fit(records(seed=1), tmp_path / "new", **options)
    assert "loss_words_size_triplet" in logged(tmp_path / "new") and len(run.model.projections) == 3
    fit(tmp_path / "plain", records())
    with pytest.raises(UserError, match="no space that 'words' and 'note' share"):
        options["start_from"] = tmp_path / "plain"
        sensorium.fit(records(seed=1), tmp_path / "other", align="words,note", **options)


def test_what_is_learned_is_said(tmp_path, capsys):
    options = {"target": "y", "columns": KINDS, "epochs": 1, "refit": False, "loss_weights": "uncertainty"}
    sensorium.fit(records(), tmp_path / "run", align="words,note=dual+triplet", **options)
    said = " ".join(capsys.readouterr().out.split())
    assert "'words' and 'note' are brought together: dual, triplet. The losses find their weights themselves." in said


def test_an_objective_from_outside_says_itself_what_a_recipe_may_do_with_it(tmp_path, monkeypatch):
    class Nearer(Triplet):
        """Another name for Triplet."""

    monkeypatch.setitem(OBJECTIVES, "nearer", Nearer)
    run = fit(tmp_path / "run", records(), align="words,note=nearer", epochs=1)
    assert "loss_words_note_triplet" in logged(tmp_path / "run") and not hasattr(run.model, "logit_scale")
    monkeypatch.setattr(Nearer, "needs_temperature", True)
    assert hasattr(fit(tmp_path / "scaled", records(), align="words,note=nearer", epochs=1).model, "logit_scale")


def test_an_objective_that_no_recipe_names_is_unknown(tmp_path):
    with pytest.raises(UserError, match="There is no objective 'matching'; known: contrastive, ") as error:
        fit(tmp_path / "run", records(), align="words,note=matching")
    assert "supervised" not in str(error.value) and "triplet" in str(error.value)


def test_without_objectives_a_fit_is_what_it_was(tmp_path):
    model = fit(tmp_path / "run", records()).model
    assert not hasattr(model, "logit_scale") and len(model.projections) == 0
    own = Supervised("y")
    assert with_objectives(model, check_recipe({}), [own]) == [own]


def test_a_student_learns_what_its_teacher_knows_of_records_without_a_target(tmp_path):
    """The teacher decides by an input that the student does not have; of two colours no record says its target."""
    fit(tmp_path / "teacher", records(100), inputs=["size"], epochs=12)
    few, new = records(100, seed=1), records(60, seed=2)
    few.loc[few["words"].str.contains("blue|black"), "y"] = None
    new = sensorium.read(new, target="y", columns=KINDS, inputs=["words"], quiet=True)
    accuracy = {}
    for name, more in (("alone", {}), ("taught", {"teacher": tmp_path / "teacher"})):
        run = fit(tmp_path / name, few, inputs=["words"], epochs=10, **more)
        accuracy[name] = sensorium.evaluate(run.model, new).to_dict()["targets"]["y"]["accuracy"]["value"]
    assert accuracy["taught"] > 0.9 > accuracy["alone"]
    assert run.model.encoders.names == ["words"]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_teacher_reads_the_records_by_its_own_processors(tmp_path, workers):
    teacher = fit(tmp_path / "teacher", records(), inputs=["note", "size"]).model
    student = fit(tmp_path / "student", records(), inputs=["words", "note"]).model
    recipe = check_recipe({"teacher": str(tmp_path / "teacher"), "objectives": [{"name": "distillation"}]})
    table = sensorium.read(records(), target="y", columns=KINDS, inputs=["words", "note"], quiet=True)
    own = Records(table, {name: encoder.processor for name, encoder in student.encoders.items()}, seed=5)
    rows = np.array([3, 0, 7])
    [batch] = load(with_views(own, student, with_objectives(student, recipe, [])), [(rows, None)], workers)
    assert batch.inputs.keys() == {"words", "note", "note/teacher", "size/teacher"}
    theirs = next(teacher.batches(sensorium.read(records().iloc[rows], schema=teacher.schema, quiet=True)))
    for name in ("note", "size"):
        for key, value in theirs.inputs[name].items():
            assert torch.equal(batch.inputs[f"{name}/teacher"][key], value)
    assert batch.keys == own.batch(rows).keys


def test_options_become_objectives():
    made = apply_options({}, {"align": ["a,b", ("c", "d"), "a,c=triplet+dual"], "teacher": "runs/big", "space": 32})
    assert [(one["name"], one.get("inputs")) for one in made["objectives"]] == [
        ("contrastive", ["a", "b"]), ("contrastive", ["c", "d"]), ("triplet", ["a", "c"]), ("dual", ["a", "c"]),
        ("distillation", None),
    ]  # fmt: skip
    assert made["teacher"] == "runs/big" and made["space"] == 32
    kept = [{"name": "feature_distillation", "inputs": ["a"]}, {"name": "triplet", "inputs": ["a", "b"]}]
    given = apply_options({"objectives": kept, "teacher": "runs/big"}, {"align": ["a,c"]})
    assert [one["name"] for one in given["objectives"]] == ["feature_distillation", "contrastive"]
    pretrained = apply_options({"family": {"name": "clip"}}, {"align": ["a,b", "b,c=triplet"]})
    assert pretrained["family"]["pairs"] == [["a", "b"], ["b", "c"]]
    assert pretrained["objectives"] == [{"name": "triplet", "inputs": ["b", "c"]}]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"align": "words"}, "align has 'words', but aligns two inputs"),
        ({"align": "words,words"}, "brings two inputs together, but has words, words"),
        ({"align": "words,nota"}, "no input 'nota'; did you mean 'note'"),
        ({"align": "words,note=triple"}, "no objective 'triple'; did you mean 'triplet'"),
        ({"align": "words,note=contrastive+contrastive"}, "Two objectives have the loss 'words_note'"),
        ({"align": "words,note", "inputs": ["words"]}, "no input 'note'"),
        ({"recipe": {"objectives": [{"name": "triplet"}]}, "inputs": ["words"]}, "but there is only 'words'"),
        ({"recipe": {"objectives": [{"name": "triplet", "config": {"labels": "size"}}]}}, "no target of classes"),
        ({"recipe": {"objectives": [{"name": "triplet", "config": {"margin": 5}}]}}, "margin is 5: it should be"),
        ({"recipe": {"objectives": [{"name": "dual", "config": {"gab": 5}}]}}, "no setting 'gab'; did you mean 'gap'"),
        ({"recipe": {"objectives": [{"name": "distillation"}]}}, "learns from a trained run; name it with --teacher"),
        ({"teacher": "nowhere"}, "There is no model in nowhere"),
        ({"recipe": {"teacher": "nowhere"}}, "A teacher is named, but no objective learns from it"),
    ],
)  # fmt: skip
def test_mistakes_are_sentences(tmp_path, options, said):
    with pytest.raises(UserError) as error:
        fit(tmp_path / "run", records(), **options)
    assert said in str(error.value)


def test_pretraining_brings_a_pair_together_otherwise(tmp_path):
    """By the family's loss where nothing is said, by another in its place, or by both."""
    options = {"inputs": "words,note", "columns": {"words": "text", "note": "text"}, "epochs": 2, "quiet": True}
    options |= {"dim": 8, "batch_size": 16, "pieces": 2, "refit": False}
    options["encoders"] = dict.fromkeys(["words", "note"], "text:,width=8,depth=1,heads=1")
    losses = {}
    for name, align in (("usual", None), ("other", ["words,note=triplet"]), ("both", ["words,note=contrastive+dual"])):
        run = sensorium.pretrain("clip", records(), tmp_path / name, align=align, **options)
        figures = logged(tmp_path / name)
        losses[name] = {key.removeprefix("loss_") for key in figures if key.startswith("loss_")}
        assert ("chance" in figures) == (name == "usual")
        assert "words→note" in run.report.to_dict()["retrieval"]
    assert losses == {
        "usual": {"words_note"}, "other": {"words_note_triplet"}, "both": {"words_note", "words_note_dual"}
    }  # fmt: skip
