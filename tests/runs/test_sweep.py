"""A search within a time budget: what it tries, that it keeps to the time, that it resumes, that the best is taken."""

import csv
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import sensorium
from sensorium.config.defaults import fill_defaults, tries_others
from sensorium.config.load import check_recipe, read_recipe
from sensorium.config.schema import Recipe, seconds
from sensorium.errors import UserError
from sensorium.runs import loaders, trials
from sensorium.runs import sweep as searching
from sensorium.runs.run import Run, fit
from sensorium.runs.trials import Budget, Change, SweepState, Trial, apply_changes, one_change_trials, paired_trials
from sensorium.training.interrupt import Interrupted
from sensorium.training.loop import Diverged, Training
from tests.encoders.test_transformers_text import CONFIGS, save

USUAL = {"epochs": 6, "batch_size": 32, "precision": "fp32", "learning_rate": 1e-4, "checkpoint_seconds": 0}
SMALL = {"config": {"width": 16, "depth": 1, "heads": 2}}


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    generator = np.random.default_rng(0)
    label = generator.integers(2, size=120)
    words = np.where(generator.random(120) < 0.8, np.array(["bad", "good"])[label], "so")
    frame = pd.DataFrame({"words": words, "number": label + generator.normal(size=120), "y": label})
    frame["words"] += " thing " + generator.choice(["a", "b", "c"], 120)
    path = tmp_path_factory.mktemp("records") / "table.csv"
    frame.to_csv(path, index=False)
    return path


def arguments(table: Path, **training: Any) -> dict[str, Any]:
    return {
        "records": table,
        "recipe": {
            "data": {"target": {"y": "class"}, "columns": {"words": "text"}},
            "inputs": {"words": SMALL},
            "training": USUAL | training,
        },
        "quiet": True,
    }


def rows(out: Path) -> list[dict[str, str]]:
    with open(out / "search.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


LISTED = [
    (Change(("training", "learning_rate"), 0.01),),
    (Change(("training", "learning_rate"), 1e30),),
    (Change(("fusion", "name"), "late"),),
]


@pytest.fixture
def few(monkeypatch) -> None:
    """Three candidates of one idea each, of which the second diverges, and the pairs of those that are better."""
    monkeypatch.setattr(searching, "one_change_trials", lambda recipe, model, records: LISTED)


@pytest.fixture(scope="module")
def whole(table, tmp_path_factory) -> Run:
    """A search that nothing cut short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching, "one_change_trials", lambda recipe, model, records: LISTED)
        return fit(**arguments(table), out=tmp_path_factory.mktemp("whole") / "run", budget="10m")


def test_a_budget_is_a_number_and_its_unit():
    assert [seconds(one) for one in ("90s", "30m", "2h", "0.5h")] == [90, 1800, 7200, 1800]
    for wrong in ("90", "m", "1 h", "0s", "-5m", "1h30m"):
        with pytest.raises(UserError, match=f"budget is '{wrong}': a number and its unit, as 90s, 30m or 2h"):
            check_recipe({"budget": wrong})


def test_no_candidate_touches_what_the_recipe_says(table):
    model = fit(**arguments(table, epochs=1, refit=False), out=table.parent / "model").model
    asked = fill_defaults(Recipe(budget="60s"), 100)
    places = {one[0].place for one in one_change_trials(asked, model, 100)}
    assert {("training", "learning_rate"), ("fusion", "name"), ("training", "modality_dropout")} <= places
    settings = {"fusion": {"name": "late"}, "training": {"learning_rate": 0.01, "modality_dropout": 0.1}}
    stated = fill_defaults(check_recipe(settings | {"budget": "60s"}), 100)
    assert {one[0].place for one in one_change_trials(stated, model, 100)} == {
        ("training", "averaging"),
        ("fusion", "config"),
    }
    schema = model.schema
    targets = [schema.targets[0].model_copy(update={"kind": "text", "labels": []})]
    model.schema = schema.model_copy(update={"targets": targets})
    written = fill_defaults(Recipe(budget="60s"), 100, targets)
    assert (Change(("training", "learning_rate"), 0.0009),) in one_change_trials(written, model, 100)
    model.schema = schema
    model.encoders["words"].requires_grad_(False)
    assert [str(change) for change in one_change_trials(asked, model, 100)[-1]] == [
        "inputs.words.frozen=False",
        "inputs.words.learning_rate=5e-05",
    ]


def test_changes_make_recipes_and_pairs_do_not_change_the_same():
    fast, slow = (Change(("training", "learning_rate"), rate) for rate in (0.1, 0.01))
    late = Change(("inputs", "photo", "frozen"), False)
    assert paired_trials([(fast,), (slow,), (late,)]) == [(fast, late), (slow, late)]
    recipe = apply_changes(Recipe(), (fast, late))
    assert recipe.training.learning_rate == 0.1 and recipe.inputs["photo"].frozen is False


def tried(score: float, **other: Any) -> Trial:
    return Trial(
        **{"changes": (), "state": "whole", "score": score, "minus_loss": 0.0, "seconds": 2, "spent": 2} | other
    )


def test_a_later_candidate_has_to_beat_the_best_and_to_be_whole():
    def best(*ones: Trial) -> int:
        return SweepState(asked=Recipe(), mark="", tried=list(ones)).best

    assert best(tried(0.5), tried(0.5), tried(0.4)) == 0
    assert best(tried(0.5), tried(0.5, minus_loss=0.1), tried(0.6, state="cut")) == 1
    assert best(tried(0.5, state="cut"), tried(0.1)) == 0
    assert best(tried(0.5), tried(0.9, state="diverged"), tried(0.7)) == 2


def test_time_is_kept_for_training_anew_and_for_scoring():
    one = tried(0.5, seconds=12.0, trained=8.0, scoring=1.0, experts=2.0, epochs=4, best=1)
    search = SweepState(asked=Recipe(), mark="", tried=[one])
    budget = Budget(time.monotonic() + 100, again=1.25, scored=4.0)
    # Setup, experts on all records, baselines like them.
    assert budget.after(search) == pytest.approx(8 * 1.25 * 2 / 4 + 1 + 2 * 1.25 + 2 + 4)
    # A candidate like the others with the same experts, its training anew at its longest, experts, baselines, and the
    # last scoring: 10 + 12.5 + 4.5 + 4.
    for left, allowed in ((31.5, True), (30.5, False)):
        budget.end = time.monotonic() + left
        assert budget.allows(search) is allowed
    budget.end = time.monotonic() + 50
    assert budget.deadline(search) - time.monotonic() == pytest.approx((50 - 4.5 - 5) / 2.25, abs=0.1)
    budget.end = time.monotonic() + 16
    assert budget.deadline(search) - time.monotonic() == pytest.approx(16 - 1 - 14.5, abs=0.1)
    # Of the first trial experts have been learned, nothing else.
    first = SweepState(asked=Recipe(), mark="")
    assert budget.deadline(first, 2.0) - time.monotonic() == pytest.approx(0.9 * (16 - 4.5) / 2.25, abs=0.1)


def test_the_best_is_taken_and_its_model_is_that_of_a_run_with_its_settings(table, whole, tmp_path):
    out, run = whole.folder, whole
    found = rows(out)
    assert [one["settings"] for one in found[:4]] == [
        "as asked", "training.learning_rate=0.01", "training.learning_rate=1e+30", "fusion.name=late",
    ]  # fmt: skip
    assert [one["state"] for one in found[:4]] == ["whole", "whole", "diverged", "whole"]
    state = json.loads((out / "search.json").read_text())
    finished = [one for one in found if one["state"] == "whole"]
    best = max(finished, key=lambda one: (float(one["score"]), -float(one["loss"])))
    assert found[state["winner"]] == best and best["settings"] != "as asked"
    assert float(best["y low"]) <= float(best["y accuracy"]) <= float(best["y high"])
    assert not (out / "search").exists()
    alone = fit(records=table, recipe=out / "recipe.yaml", out=tmp_path / "alone", quiet=True)
    for (name, one), two in zip(run.model.state_dict().items(), alone.model.state_dict().values(), strict=True):
        assert torch.equal(one, two), name
    again = fit(**arguments(table), out=out, budget="10m", resume=True)
    assert all(torch.equal(one, two) for one, two in zip(run.model.parameters(), again.model.parameters(), strict=True))
    with pytest.raises(UserError, match="not those that the run in"):
        fit(**arguments(table, epochs=3), out=out, budget="10m", resume=True)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", [3, 60])
def test_killed_and_resumed_it_goes_on_with_the_remaining_candidates(step, table, whole, few, tmp_path, monkeypatch):
    given = arguments(table)
    optimise, steps = Training._optimise, []

    def until(self, pieces):
        steps.append(self)
        if len(steps) == step:
            raise Killed
        optimise(self, pieces)

    monkeypatch.setattr(Training, "_optimise", until)
    with pytest.raises(Killed):
        fit(**given, out=tmp_path / "killed", budget="10m")
    monkeypatch.setattr(Training, "_optimise", optimise)
    before = len(rows(tmp_path / "killed")) if (tmp_path / "killed" / "search.csv").exists() else 0
    tries, inner = [], searching._run_trial

    def counted(prepare, train, state, *others):
        tries.append(len(state.tried))
        return inner(prepare, train, state, *others)

    monkeypatch.setattr(searching, "_run_trial", counted)
    resumed = fit(**given, out=tmp_path / "killed", budget="10m", resume=True)
    figures = [rows(folder) for folder in (whole.folder, tmp_path / "killed")]
    for one in figures[0] + figures[1]:
        del one["seconds"]
    assert figures[0] == figures[1]
    assert tries == list(range(before, len(figures[0])))
    for one, two in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, two)


def test_it_keeps_to_its_time_and_stops_in_the_middle_of_training(table, tmp_path):
    """The whole training would take minutes; two seconds are given, and loading, scoring and saving come on top."""
    given = arguments(table, epochs=100_000, patience=100_000)
    began = time.monotonic()
    run = fit(**given, out=tmp_path / "run", budget="2s")
    assert time.monotonic() - began < 30
    (only,) = rows(tmp_path / "run")
    assert only["state"] == "cut" and 0 < int(only["epochs"]) < 100_000
    assert "accuracy" in run.metrics["targets"]["y"]


def test_the_test_records_are_read_by_the_winner_alone(table, few, tmp_path, monkeypatch, capsys):
    read, taken = loaders.load_records, []

    def watched(model, part, *others):
        taken.append(part.name)
        return read(model, part, *others)

    monkeypatch.setattr(loaders, "load_records", watched)
    fit(**arguments(table) | {"quiet": False}, out=tmp_path / "run", budget="10m", test=0.2)
    assert "the test records had no part in it" in " ".join(capsys.readouterr().out.split())
    assert taken[:-2] == ["train_val"] * (len(taken) - 2) and taken[-2:] == ["train_val", "test"]


def test_it_says_what_the_score_of_the_winner_is_worth(table, few, tmp_path, capsys):
    given = arguments(table) | {"quiet": False}
    fit(**given, out=tmp_path / "one", budget="10m")
    said = " ".join(capsys.readouterr().out.split())
    assert "so its score there is optimistic; hold records out with --test 0.2" in said
    assert "Candidate 3 (training.learning_rate=1e+30): the loss was not finite" in said


def test_a_recipe_that_diverges_as_asked_is_the_user_s_mistake(table, tmp_path):
    with pytest.raises(Diverged, match="lower the setting learning_rate"):
        fit(**arguments(table, learning_rate=1e30), out=tmp_path / "run", budget="10m")


def test_an_interrupt_stops_the_search(table, tmp_path, monkeypatch):
    account = Training._account
    monkeypatch.setattr(Training, "_account", lambda self, *a: account(self, *a) or os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Interrupted):
        fit(**arguments(table), out=tmp_path / "run", budget="10m")
    assert not (tmp_path / "run" / "search.csv").exists() and (tmp_path / "run" / "search" / "0" / "last").exists()
    monkeypatch.undo()
    with pytest.raises(UserError, match="holds a run already"):
        fit(**arguments(table), out=tmp_path / "run", budget="10m")
    assert sensorium.fit(**arguments(table), out=tmp_path / "run", overwrite=True).folder.exists()
    assert not (tmp_path / "run" / "search").exists()


def test_the_thorough_preset_tries_adapters_of_pretrained_encoders_alone(table, tmp_path, monkeypatch):
    folder = save(CONFIGS["bert"], tmp_path / "reader")
    settings = arguments(table, epochs=2, refit=False)
    settings["recipe"]["inputs"] = {"words": {"encoder": "transformers_text", "config": {"model": str(folder)}}}
    settings["recipe"]["preset"] = "best"
    few = fit(**settings, out=tmp_path / "few")
    assert len(rows(few.folder)) == 1
    monkeypatch.setattr(trials, "TUNED", 50)
    run = fit(**settings, out=tmp_path / "run")
    assert [row["settings"] for row in rows(run.folder)] == ["as asked", "inputs.words.adapter={}"]
    monkeypatch.setattr(trials, "find_spec", lambda name: None)
    assert one_change_trials(check_recipe(settings["recipe"]), few.model, 100) == []


def test_experts_never_read_features_that_were_tuned_on_the_targets(table, tmp_path, monkeypatch):
    frame = pd.read_csv(table).rename(columns={"words": "note"})
    folder = save(CONFIGS["bert"], tmp_path / "reader")
    reader = {"note": {"encoder": "transformers_text", "config": {"model": str(folder)}}}
    settings = arguments(table, epochs=2, refit=True) | {"records": frame}
    settings["recipe"] = settings["recipe"] | {"inputs": reader, "preset": "best"}
    settings["recipe"]["data"] = {"target": {"y": "class"}, "columns": {"note": "text"}}
    monkeypatch.setattr(trials, "TUNED", 50)
    monkeypatch.setattr(SweepState, "best", property(lambda state: len(state.tried) - 1))  # the adapter wins
    run = fit(**settings, out=tmp_path / "run")
    read = {source.name for _, _, expert in run.model.experts.experts for source in expert.config.sources}
    assert "note/words" in read and "note" not in read
    recipe = check_recipe(read_recipe(tmp_path / "run" / "recipe.yaml"))
    assert recipe.inputs["note"].adapter is not None and not tries_others(recipe)
    again = fit(records=frame, recipe=tmp_path / "run" / "recipe.yaml", quiet=True, out=tmp_path / "again")
    assert not (again.folder / "search.csv").exists()
    equal = [torch.equal(*pair) for pair in zip(again.model.parameters(), run.model.parameters(), strict=True)]
    assert all(equal)
