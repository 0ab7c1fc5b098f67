"""sensorium.evaluate: what it takes for a model and for records, its parameters, and the mistakes that it names."""

import inspect
from types import SimpleNamespace

import pandas as pd
import pytest

import sensorium
from sensorium.errors import UserError
from sensorium.evaluation.evaluate import TASKS, evaluate
from tests.evaluation import pairs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks") / "world"
    pairs.make(folder)
    pairs.model(steps=0).save(folder / "run" / "model")
    return folder


@pytest.fixture
def model(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return pairs.model(steps=0)


def test_it_is_the_public_evaluate():
    assert sensorium.evaluate is evaluate


def test_a_run_a_model_and_a_folder_give_one_report(model, folder):
    sources = [model, SimpleNamespace(model=model), "run", folder / "run"]
    first, *others = (evaluate(source, "pairs.csv", resamples=20).to_dict() for source in sources)
    assert set(first["retrieval"]) == {"photo→caption", "caption→photo"}
    assert all(other == first for other in others)


def test_a_table_a_file_a_data_frame_and_dicts_give_one_report(model, folder):
    frame = pd.read_csv("pairs.csv")
    records = [model.read("pairs.csv"), "pairs.csv", folder / "pairs.csv", frame, frame.to_dict("records")]
    first, *others = (evaluate(model, source, resamples=20).to_dict() for source in records)
    assert first["records"]["all"] == 48 and all(other == first for other in others)


def test_what_has_no_model_is_an_error_that_names_it(model):
    for wrong in (model.read("pairs.csv"), SimpleNamespace(model="run"), None):
        with pytest.raises(UserError, match=f"^A {type(wrong).__name__} has no model; give a run, a model"):
            evaluate(wrong, "pairs.csv")


def test_the_signature_names_every_option_of_every_task_and_no_other():
    parameters = inspect.signature(evaluate).parameters
    assert all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters.values())
    shared = {"model", "records", "task", "out", "bad_records", "seed"}
    assert set(parameters) - shared == {name for _, names in TASKS.values() for name in names}
    for function, names in TASKS.values():
        assert set(names) <= set(inspect.signature(function).parameters)
    for name in parameters:
        assert f"{name}:" in evaluate.__doc__ or f"{name}, " in evaluate.__doc__


def test_an_option_of_another_task_is_an_error_that_names_the_task(model):
    with pytest.raises(UserError, match="--shots says nothing to --task retrieval; leave it out, or give --task few-s"):
        evaluate(model, "pairs.csv", shots=[1])
    with pytest.raises(UserError, match="leave it out, or give --task zero-shot or --task few-shot"):
        evaluate(model, "pairs.csv", "retrieval", target="colour")
    with pytest.raises(TypeError):
        evaluate(model, "pairs.csv", shot=[1])


def test_a_model_without_targets_has_no_decisions_to_score(model):
    with pytest.raises(UserError, match="decides on no target"):
        evaluate(model, "pairs.csv", "targets")
