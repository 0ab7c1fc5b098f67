"""Tables of turns as tables of answers with what was said before."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import sensorium
from sensorium.data.sources.dialogues import dialogues, latest_turns
from sensorium.errors import UserError

TURNS = [
    ("a", 1, "user", "What is\nthere?", "red.png"),
    ("a", 2, "assistant", "A ball.", ""),
    ("a", 10, "user", "Its colour?", ""),
    ("a", 11, "assistant", "Red.", ""),
    ("b", 1, "assistant", "Hello.", ""),
    ("b", 2, "user", "Hi.", ""),
    ("b", 3, "assistant", "", ""),
]


def write(folder: Path, turns: list[tuple] = TURNS) -> Path:
    (folder / "data").mkdir()
    Image.new("RGB", (2, 2), "red").save(folder / "data/red.png")
    columns = ["conversation", "turn", "speaker", "text", "picture"]
    path = folder / "data/turns.csv"
    pd.DataFrame(turns, columns=columns).sample(frac=1, random_state=0).to_csv(path, index=False)
    return path


def test_each_answer_stands_with_the_turns_before_it(tmp_path):
    frame = dialogues(write(tmp_path)).sort_values("turn", key=pd.to_numeric)
    assert list(frame) == ["conversation", "turn", "dialogue", "picture", "answer"]
    assert frame["answer"].tolist() == ["A ball.", "Red."]
    assert frame["dialogue"].tolist() == [
        "user: What is there?",
        "user: What is there?\nassistant: A ball.\nuser: Its colour?",
    ]
    assert all(Path(path).is_file() for path in frame["picture"])
    assert frame.attrs["left_out"] == 2 and frame.attrs["cut"] == 0


def test_speakers_become_those_that_language_models_know(tmp_path):
    turns = [
        ("a", 1, "Ann", "Hi.", "x"),
        ("a", 2, "Bob", "Ho.", "y"),
        ("a", 3, "Ann", "Well?", ""),
        ("a", 4, "Bob", "Yes.", "z"),
    ]
    frame = dialogues(write(tmp_path, turns), speaker="Bob")
    assert frame["dialogue"].tolist() == ["user: Hi.", "user: Hi.\nassistant: Ho.\nuser: Well?"]
    assert frame["picture"].tolist() == ["x", "y"]  # what stands beside an answer is known after it
    (tmp_path / "three").mkdir()
    frame = dialogues(write(tmp_path / "three", [*turns, ("a", 0, "Cid", "Oh.", "")]), speaker="Bob")
    assert frame["dialogue"].tolist()[0] == "user: Cid: Oh.\nuser: Ann: Hi."


def test_a_long_dialogue_keeps_whole_turns_the_latest_always():
    lines = ["user: one two three", "assistant: four", "user: five six"]
    assert latest_turns(lines, 100) == lines
    assert latest_turns(lines, 7) == lines[1:]
    assert latest_turns(lines, 1) == lines[2:]


def test_the_written_table_reads_and_its_pictures_are_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path)
    command = [sys.executable, "-m", "sensorium.cli", "table", str(path), "--out", "made.jsonl", "--context", "8"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "2 records in made.jsonl, 2 left out of an answer that is empty or opens a conversation" in ended.stdout
    assert "1 dialogue cut to the latest turns of 8 tokens." in ended.stdout
    table = sensorium.read(
        "made.jsonl", group="conversation", columns={"answer": "text", "picture": "image"}, quiet=True
    )
    assert {spec.name: spec.modality for spec in table.schema.inputs}["picture"] == "image"
    assert [str(tmp_path / path) for path in table.frame["picture"]] == [str(path.parent / "red.png")] * 2


@pytest.mark.parametrize(
    ("turns", "options", "sentence"),
    [
        ([("a", 1, "user", "Hi.", ""), ("a", 1, "user", "Ho.", "")], {}, "is turn 1 of conversation a a second time"),
        ([("a", 1, "", "Hi.", ""), ("a", 2, "user", "Ho.", "")], {}, "has no 'speaker'"),
        ([("a", 1, "ann", "Hi.", ""), ("a", 2, "bob", "Ho.", "")], {}, "with --answers: ann, bob"),
        (TURNS, {"speaker": "usr"}, "did you mean 'user'"),
        ([("a", 1, "assistant", "Hi.", ""), ("a", 2, "user", "Ho.", "")], {}, "nothing is learned"),
    ],
)
def test_what_is_wrong_is_a_sentence(turns, options, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence):
        dialogues(write(tmp_path, turns), **options)
