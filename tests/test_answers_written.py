"""Answers that a decoder writes: learned from a table, ranked, saved and loaded, gone on from."""

import numpy as np
import pandas as pd
import pytest

import sensorium
from sensorium.errors import UserError
from sensorium.heads.answer import Answer
from tests import question_scenes
from tests.test_answers_fit import OPTIONS

SMALL = {
    "inputs": {"question": {"encoder": "bert_text", "config": {"width": 32, "depth": 1}}},
    "fusion": {"name": "bert", "config": {"query": "question", "context": ["photo"], "dim": 32, "layers": 1}},
    "targets": {"answer": {"head": "answer", "config": {"layers": 1, "heads": 2}}},
}
OTHERS = {name: value for name, value in OPTIONS.items() if name != "fusion"} | {"epochs": 2}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    question_scenes.make(folder, 24)
    return folder, sensorium.fit(folder / "questions.csv", folder / "run", recipe=SMALL, test=0.25, **OTHERS)


def test_a_decoder_ranks_the_answers_of_the_training_table(world):
    _, run = world
    head, spec = run.model.heads["answer"], run.model.schema.targets[0]
    assert isinstance(head, Answer) and len(head.answers) == len(spec.labels) == 8
    spelled = run.model.encoders["question"].processor
    assert all(torch_row[: len(one)] == one for torch_row, one in zip(
        head.answers.tolist(), [spelled(label)["tokens"].tolist() for label in spec.labels], strict=True
    ))  # fmt: skip
    assert set(run.metrics["baselines"]["answer"]) == {"metric", "commonest", "without_picture"}


def test_a_saved_decoder_decides_as_before(world):
    folder, run = world
    records = pd.read_csv(folder / "questions.csv").head(6)[["photo", "question"]]
    records["photo"] = [str(folder / one) for one in records["photo"]]
    rows = records.to_dict("records")
    before, after = (model.predict(rows) for model in (run.model, sensorium.load(folder / "run")))
    for one, two in zip(before, after, strict=True):
        assert one["answer"]["decision"] == two["answer"]["decision"]
        np.testing.assert_allclose(one["answer"]["probability"], two["answer"]["probability"], rtol=1e-5)


def test_a_run_that_goes_on_learns_answers_that_are_new(world):
    folder, run = world
    table = pd.read_csv(question_scenes.make(folder, 12, "more", seed=2))
    table["answer"] = table["answer"].str.replace("circle", "perfectly round disc")
    table.to_csv(folder / "more.csv", index=False)
    on = sensorium.fit(folder / "more.csv", folder / "on", start_from=str(folder / "run"), epochs=1, quiet=True)
    labels = on.model.schema.targets[0].labels
    assert labels[:8] == run.model.schema.targets[0].labels and labels[8:] == ["perfectly round disc"]
    assert len(on.model.heads["answer"].answers) == 9


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"fusion": {"name": "hybrid"}}, "reads tokens, and the fusion 'hybrid' gives none"),
        ({"fusion": {"name": "concat"}}, "reads tokens, and the fusion 'concat' gives none"),
        (
            {"targets": {"answer": {"head": "classes"}}},
            "does not decide on 'answer', which is answer; choose: frequent",
        ),
        ({"targets": {"answer": {"head": "answers"}}}, "There is no head 'answers'"),
    ],
)
def test_a_head_that_does_not_fit_is_named_before_a_file_is_read(world, settings, said):
    folder, _ = world
    with pytest.raises(UserError, match=said):
        sensorium.fit(folder / "questions.csv", folder / "no", recipe=SMALL | settings, **OTHERS)
    assert not (folder / "no" / "model").exists()


def test_a_table_without_texts_has_no_words_to_write(world):
    folder, _ = world
    recipe = SMALL | {"inputs": {}, "fusion": {"name": "transformer"}}
    with pytest.raises(UserError, match="spells answers by the tokens of a text input"):
        sensorium.fit(
            folder / "questions.csv", folder / "no", recipe=recipe,
            **(OTHERS | {"columns": {"question": "category", "question_type": "ignored"}}),
        )  # fmt: skip
