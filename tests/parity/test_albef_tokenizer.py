"""A published ALBEF without its tokenizer beside it: one is named, or the model takes token numbers alone."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import sensorium
from sensorium.errors import UserError
from sensorium.explanation.answer import answer
from sensorium.families.albef import albef
from sensorium.families.albef_checkpoints import Albef, save
from sensorium.families.checkpoints import convert
from sensorium.model import load
from tests import question_scenes
from tests.objectives.test_albef import CONFIG, tiny
from tests.parity.test_albef import published
from tests.parity.test_albef_written import decoder
from tests.pretraining import pairs
from tests.reviews import sensorium as typed

SAID = "The model came without the tokenizer of 'text', so it reads no text there; convert it anew, with --tokenizer."
PICTURE = np.full((9, 9, 3), 40, dtype=np.uint8)


def bare(shared: Path, kind: str, folder: Path) -> Path:
    """The file of weights with its config.json; the tokenizer stands in a folder of its own."""
    path = published(shared / "reference" / "albef", kind, folder / "theirs")
    (folder / "words").mkdir()
    shutil.move(folder / "theirs" / "tokenizer.json", folder / "words" / "tokenizer.json")
    return path


@pytest.mark.parametrize("named", ["words", "words/tokenizer.json"])
def test_a_tokenizer_is_named(shared: Path, tmp_path: Path, monkeypatch, named: str):
    path = bare(shared, "vqa", tmp_path)
    monkeypatch.chdir(tmp_path)
    done = typed(f"convert {path} ours --tokenizer {named}")
    assert done.code == 0 and "No tokenizer" not in done.out
    assert load("ours").encoders["text"].processor("word7 word9")["tokens"].tolist() == [2, 7, 9, 3]


@pytest.mark.parametrize("kind", ["pretrain", "vqa"])
def test_without_one_it_takes_numbers_and_is_the_same_model(shared: Path, tmp_path: Path, monkeypatch, kind: str):
    path = bare(shared, kind, tmp_path)
    monkeypatch.chdir(tmp_path)
    done = typed(f"convert {path} ours")
    assert done.code == 0
    assert done.out.splitlines()[1] == (
        f"No tokenizer stands beside {path}, so the model takes token numbers alone; name one by --tokenizer."
    )
    with_words, numbers = convert(path, "other", tokenizer="words"), load("ours")
    assert numbers.encoders["text"].processor is None and numbers.encoders["text"].config.context == 40
    assert all(torch.equal(value, numbers.state_dict()[name]) for name, value in with_words.state_dict().items())
    for name, head in with_words.heads.items():
        assert head.config == numbers.heads[name].config
    convert("ours", "back", to="albef")
    assert sorted(one.name for one in (tmp_path / "back").iterdir()) == ["albef.safetensors", "config.json"]
    again = convert("back/albef.safetensors", "again")
    assert [head.config for _, head in again.heads.items()] == [head.config for _, head in numbers.heads.items()]


def test_a_text_is_refused_with_a_sentence_and_a_picture_is_read(shared: Path, tmp_path: Path):
    model = convert(bare(shared, "pretrain", tmp_path), tmp_path / "ours")
    found = model.embed([{"image": PICTURE}], "image")
    assert found.shape == (1, 24) and np.isfinite(found).all() and found.any()
    assert not model.embed([{"image": PICTURE}], "text").any()
    table = pairs(tmp_path / "pairs")
    records = [{"image": PICTURE, "text": "word7"}] * 3
    for refused in (
        lambda: model.embed([{"text": "word7"}], "text"),
        lambda: next(model.batches(model.read(records))),
        lambda: sensorium.evaluate(model, model.read(records)),
        lambda: sensorium.pretrain(
            "albef", table, image="photo", text="caption", start_from=tmp_path / "ours", out=tmp_path / "on", quiet=True
        ),
    ):
        with pytest.raises(UserError) as raised:
            refused()
        assert str(raised.value) == SAID
    (tmp_path / "texts.csv").write_text("text\nword7\n")
    said = typed(f"index {tmp_path}/ours {tmp_path}/texts.csv --input text --out {tmp_path}/shop.lance").err
    assert said == f"sensorium: {SAID}\n"


def test_a_question_is_refused_with_a_sentence(shared: Path, tmp_path: Path):
    convert(bare(shared, "vqa", tmp_path), tmp_path / "ours")
    with pytest.raises(UserError) as raised:
        answer(tmp_path / "ours", PICTURE, "word7?", quiet=True)
    assert str(raised.value) == SAID
    table = question_scenes.make(tmp_path, 6)
    with pytest.raises(UserError) as raised:
        sensorium.fit(
            table, tmp_path / "run", family="albef", image="photo", question="question", answer="answer",
            start_from=tmp_path / "ours", quiet=True,
        )  # fmt: skip
    assert str(raised.value) == SAID


@pytest.mark.parametrize(("vocabulary", "marks"), [(30_522, (101, 102, 0)), (30_523, None)])
def test_marks_that_nothing_states_are_those_of_uncased_bert(tmp_path: Path, vocabulary: int, marks):
    text, head = CONFIG.text.model_copy(update={"vocabulary": vocabulary}), decoder(vocabulary=vocabulary)
    save(Albef(albef(CONFIG.model_copy(update={"text": text, "answer": head})), None, None), tmp_path / "ours")
    convert(tmp_path / "ours", tmp_path / "theirs", to="albef")
    stated = json.loads((tmp_path / "theirs" / "config.json").read_text())
    assert [stated.pop(name) for name in ("cls_id", "sep_id", "pad_id")] == [1, 2, 0]
    (tmp_path / "theirs" / "config.json").write_text(json.dumps(stated))
    if marks is None:
        with pytest.raises(UserError, match="is not known of .*give its tokenizer with --tokenizer"):
            convert(tmp_path / "theirs" / "albef.safetensors", tmp_path / "back")
    else:
        head = convert(tmp_path / "theirs" / "albef.safetensors", tmp_path / "back").heads["answer"].config
        assert (head.start, head.end, head.pad) == marks


def test_a_tokenizer_that_is_not_the_models_is_refused(shared: Path, tmp_path: Path):
    save(Albef(tiny(), None, None), tmp_path / "tiny")
    convert(tmp_path / "tiny", tmp_path / "written", to="albef")
    path = bare(shared, "pretrain", tmp_path)
    for source, tokenizer, said in (
        (path, tmp_path / "no", "There is no tokenizer in .*no; name a tokenizer.json, or a folder with one"),
        (path, tmp_path / "theirs", "There is no tokenizer in .*theirs/tokenizer.json"),
        (tmp_path / "written" / "albef.safetensors", tmp_path / "words", "has 120 tokens, and .* knows 20"),
        (tmp_path / "tiny", tmp_path / "words", "--tokenizer is for the file of weights of a published ALBEF"),
    ):
        with pytest.raises(UserError, match=said):
            convert(source, tmp_path / "ours", tokenizer=tokenizer)
    with pytest.raises(UserError, match="--tokenizer is for the file of weights"):
        convert(tmp_path / "tiny", tmp_path / "ours", to="albef", tokenizer=tmp_path / "words")
    assert not (tmp_path / "ours").exists()


def test_heads_that_nothing_states_are_not_guessed(tmp_path: Path):
    save(Albef(tiny(), None, None), tmp_path / "tiny")
    convert(tmp_path / "tiny", tmp_path / "written", to="albef")
    (tmp_path / "written" / "config.json").unlink()
    with pytest.raises(UserError, match="is 12 wide, no multiple of the usual 64 of a head, .*in config.json beside"):
        convert(tmp_path / "written" / "albef.safetensors", tmp_path / "ours")


def test_a_config_that_no_model_can_have_is_said(shared: Path, tmp_path: Path):
    path = published(shared / "reference" / "albef", "pretrain", tmp_path / "theirs")
    stated = json.loads((tmp_path / "theirs" / "config.json").read_text())
    stated["vit"]["heads"] = 7
    (tmp_path / "theirs" / "config.json").write_text(json.dumps(stated))
    with pytest.raises(UserError, match=r"config.json beside it make no ALBEF \(.*heads"):
        convert(path, tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


def test_a_file_that_was_cut_short_is_said(shared: Path, tmp_path: Path):
    path = published(shared / "reference" / "albef", "pretrain", tmp_path / "theirs")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"weights.safetensors holds no weights that can be read \(.*whole copy"):
        convert(path, tmp_path / "ours")
