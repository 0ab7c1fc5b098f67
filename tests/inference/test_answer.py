"""A question about a picture: the answer that the model's own decision is, in every way of answering."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sensorium.data.schema import TargetSpec
from sensorium.errors import UserError
from sensorium.evaluation.inputs import format_number
from sensorium.explanation.answer import answer
from sensorium.families.checkpoints import convert
from sensorium.fusion import FUSIONS
from sensorium.heads.answer import Answer, AnswerConfig
from sensorium.heads.late import Late, LateConfig
from sensorium.model import Model, load
from tests.explanation.scenes import DIM, QUESTIONS, model, photo
from tests.parity.test_albef import published
from tests.reviews import put, sensorium


def writing() -> Model:
    """A model of random weights that writes its answers in the words of its questions, as one converted does."""
    made = model(head="answer")
    processor = made.encoders["question"].processor
    marks = {name: processor.tokenizer.token_to_id(word) for name, word in (("start", "[CLS]"), ("end", "[SEP]"))}
    torch.manual_seed(3)
    config = AnswerConfig(vocabulary=processor.vocabulary, context=6, layers=1, heads=2, **marks)
    head = Answer(config, DIM)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.4)
    schema = made.schema.model_copy(update={"targets": []})
    return Model(dict(made.encoders.items()), fusion=made.fusion, heads={"answer": head}, schema=schema).eval()


def agreeing(combine: str) -> Model:
    """A model of random weights in which an expert for each input chooses among answers."""
    made, fusion = model(), FUSIONS["separate"]
    torch.manual_seed(7)  # with which a vote is tied, and decided against the first of the two
    fused = fusion(fusion.Config(dim=DIM), dict.fromkeys(made.encoders.names, DIM))
    inner = {"classes": 3, "prior": [0.5, 0.3, 0.2]}
    head = Late(LateConfig(head="frequent", config=inner, experts=2, combine=combine), DIM)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.4)
    targets = [TargetSpec(name="answer", kind="answer", labels=["yes", "no", "two"])]
    schema = made.schema.model_copy(update={"targets": targets})
    return Model(dict(made.encoders.items()), fusion=fused, heads={"answer": head}, schema=schema).eval()


@pytest.mark.parametrize("combine", ["mean", "product", "vote"])
def test_experts_give_the_answer_they_agree_on_and_the_others_follow(combine):
    made = agreeing(combine)
    for question in QUESTIONS:
        wanted = made.predict([{"photo": photo(), "question": question}])[0]["answer"]
        done = answer(made, photo(), question, quiet=True)
        assert (done["answer"], done["probability"]) == (wanted["decision"], pytest.approx(wanted["probability"]))
        likely = [done["probability"], *(one["probability"] for one in done["next"])]
        assert sum(likely) == pytest.approx(1) and likely == sorted(likely, reverse=True)
        assert min(likely) > 0 and (combine == "vote" or len(likely) == 3)


def test_the_answer_of_a_class_is_the_models_prediction_and_the_others_follow():
    made = model()
    record = {"photo": photo(), "question": QUESTIONS[1]}
    wanted = made.predict([record])[0]["answer"]
    done = answer(made, photo(), QUESTIONS[1], quiet=True)
    assert done["answer"] == wanted["decision"] and done["by"] == "ranking" and done["explanation"] is None
    ordered = sorted(wanted["probabilities"].items(), key=lambda one: -one[1])
    said = [(done["answer"], done["probability"]), *((one["answer"], one["probability"]) for one in done["next"])]
    assert [name for name, _ in said] == [name for name, _ in ordered]
    np.testing.assert_allclose([one for _, one in said], [one for _, one in ordered], rtol=1e-6)
    assert len(answer(made, photo(), QUESTIONS[1], top=2, quiet=True)["next"]) == 1


def test_an_answer_is_written_by_beam_search_and_spelled():
    made = writing()
    done = answer(made, photo(), QUESTIONS[0], beams=4, quiet=True)
    batch = next(made.batches(made.read([{"photo": photo(), "question": QUESTIONS[0]}]), 1))
    with torch.no_grad():
        found = made.heads["answer"].generate(made.fuse(made.encode(batch.inputs)), beams=4)
    tokenizer = made.encoders["question"].processor.tokenizer
    spelled = [tokenizer.decode(tokens).strip() for tokens in found.tokens[0].tolist()]
    assert [done["answer"], *(one["answer"] for one in done["next"])] == spelled and done["by"] == "generation"
    assert done["probability"] == pytest.approx(float(found.likely[0, 0].exp()))
    greedy = answer(made, photo(), QUESTIONS[0], beams=1, quiet=True)
    assert greedy["next"] == [] and greedy["probability"] <= done["probability"]


def test_words_are_spelled_as_they_were():
    processor = model().encoders["question"].processor
    assert processor.spelled(processor("Is it  a circle?")["tokens"].tolist()) == "is it a circle?"


@pytest.fixture
def theirs(shared, tmp_path):
    """A published checkpoint that answers, converted: its words are word5 to word119, numbered so."""
    convert(published(shared / "reference" / "albef", "vqa", tmp_path / "theirs"), tmp_path / "ours")
    return load(tmp_path / "ours")


def test_a_published_checkpoint_answers_and_its_marks_are_no_words(theirs, tmp_path):
    done = answer(theirs, photo(), "word7 word9", explain=tmp_path / "heat.png", quiet=True)
    assert done["by"] == "generation" and all(one.startswith("word") for one in done["answer"].split())
    assert [one["word"] for one in done["explanation"]["words"]] == ["word7", "word9"]


def test_a_published_checkpoint_ranks_the_answers_that_it_is_given(theirs, tmp_path):
    given = ["word7", "word9 word8", "word30", "word9"]
    done = answer(theirs, photo(), "word7 word9", answers=given, explain=tmp_path / "heat.png", quiet=True)
    tokens = torch.tensor([[2, 7, 3, 0], [2, 9, 8, 3], [2, 30, 3, 0], [2, 9, 3, 0]])
    batch = next(theirs.batches(theirs.read([{"image": photo(), "text": "word7 word9"}]), 1))
    with torch.no_grad():
        fused = theirs.fuse(theirs.encode(batch.inputs))
        places, likely = theirs.heads["answer"].rank(fused, tokens, tokens != 0, 128)
    said = [done, *done["next"]]
    assert [one["answer"] for one in said] == [given[place] for place in places[0].tolist()]
    np.testing.assert_allclose([one["probability"] for one in said], likely[0].tolist(), rtol=1e-5)
    assert done["by"] == "ranking" and done["explanation"]["file"] == str(tmp_path / "heat.png")


def test_answers_of_a_file_are_read_in_one_spelling_and_once(tmp_path):
    put(tmp_path / "answers.txt", "Red\n\nthe circle\nred \ncircle!\n".encode("utf-8-sig"))
    made = writing()
    done = answer(made, photo(), QUESTIONS[0], answers=tmp_path / "answers.txt", top=3, quiet=True)
    assert {done["answer"], *(one["answer"] for one in done["next"])} == {"red", "circle"} and len(done["next"]) == 1
    assert done == answer(made, photo(), QUESTIONS[0], answers=["red", "circle"], by="ranking", quiet=True)
    assert done["answer"] == answer(made, photo(), QUESTIONS[0], answers=["red", "circle"], top=1, quiet=True)["answer"]


def test_why_an_answer_of_a_list_is_the_likeliest_depends_on_the_answer(tmp_path):
    made = writing()
    heat = [
        answer(made, photo(), QUESTIONS[0], answers=[one], explain=tmp_path / "heat.png", quiet=True)["explanation"]
        for one in ("red", "square red")
    ]
    assert not np.allclose(heat[0]["words"][0]["heat"], heat[1]["words"][0]["heat"])


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([], "The list of answers is empty; give at least one"),
        (["red", " "], "The model knows no word of the answer ''; leave it out"),
        (
            ["is it it is it"],
            "The answer 'is it it is it' is 5 tokens long, and the model writes at most 4; shorten it",
        ),
    ],
)
def test_an_answer_that_cannot_be_ranked_is_a_sentence(answers, said):
    with pytest.raises(UserError, match=said):
        answer(writing(), photo(), QUESTIONS[0], answers=answers)


def test_an_answer_of_unknown_words_is_named(theirs):
    with pytest.raises(UserError, match="The model knows no word of the answer 'qq zz'"):
        answer(theirs, photo(), "word7", answers=["word8", "qq zz"])


@pytest.mark.parametrize("make", [model, writing])
def test_why_is_drawn_and_said(make, tmp_path):
    out = tmp_path / "heat.png"
    done = answer(make(), photo(0, 30, 40), QUESTIONS[0], explain=out, quiet=True)["explanation"]
    assert done["file"] == str(out) and Image.open(out).text["Description"] == " ".join(done["said"])
    assert [one["word"] for one in done["words"]] == ["what", "colour", "is", "the", "circle"]
    assert np.array(done["words"][0]["heat"]).shape == (3, 3)


def test_from_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model().save("run")
    Image.fromarray(photo()).save("photo.png")
    said = sensorium('answer run photo.png "is it a circle" --explain heat.png')
    assert said.code == 0, said.err
    done = json.loads(sensorium('answer run photo.png "is it a circle" --explain again.png --json').out)
    lines = said.out.splitlines()
    assert lines[0] == f"{done['answer']} ({format_number(done['probability'])})" and lines[-1] == "Drawn in heat.png."
    assert "circle: " in said.out and (tmp_path / "heat.png").read_bytes() == (tmp_path / "again.png").read_bytes()


@pytest.mark.parametrize("options", ["--explain", "--explain --json", "--json --explain", "--explain=heat.png"])
def test_why_without_a_name_is_drawn_here(options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model().save("run")
    Image.fromarray(photo()).save("photo.png")
    Path("heat.png").write_text("older")
    done = sensorium(f'answer run photo.png "is it a circle" {options}')
    assert done.code == 0 and "heat.png" in done.out and Image.open("heat.png").text["Description"]
    assert {one.name for one in tmp_path.iterdir()} == {"run", "photo.png", "heat.png"}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ('answer run photo.png " "', "The question is empty; ask something about the picture."),
        ('answer run foto.png "is it"', "The picture foto.png cannot be used: there is no such file; give another."),
        ('answer run photo.png "is it" --by luck', "--by luck is no way to answer; take ranking or generation."),
        ('answer run photo.png "is it" --by generation', "The head of 'answer' chooses among answers and writes none"),
        ('answer run photo.png "is it" --top 0', "--beams 3 and --top 0 have to be at least 1"),
        ('answer run photo.png "is it" --explain heat.gif', "--explain heat.gif is of no known kind"),
    ],
)
def test_a_mistake_is_a_sentence(command, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model().save("run")
    Image.fromarray(photo()).save("photo.png")
    done = sensorium(command)
    assert done.code == 2 and said in done.err and len(list(tmp_path.iterdir())) == 2


def test_a_model_that_answers_nothing_is_named():
    with pytest.raises(UserError, match=r"has the inputs photo \(image\), question \(text\) and the targets match"):
        answer(model(head="match"), photo(), "is it")
    with pytest.raises(UserError, match="has no list of answers to rank; give one as --answers answers.txt"):
        answer(writing(), photo(), "is it", by="ranking")
