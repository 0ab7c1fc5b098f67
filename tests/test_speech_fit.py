"""Speech from a table to the report: own recognisers by `ctc`, and a question that is spoken about a picture."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import sensorium
from sensorium.errors import UserError
from sensorium.model import load
from tests.data.media.test_audio import encoded

RATE = 8000
LETTERS = {"a": 300, "b": 700, "c": 1200, "d": 2000}
SMALL = "audio_conv,rate=8000,bands=24,channels=8,width=64,augmentation=null"


def tone(pitch: float, seconds: float) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * pitch * np.arange(int(seconds * RATE)) / RATE)


def spoken(text: str, generator: np.random.Generator) -> bytes:
    """A tone a letter, a pause at a blank."""
    pieces = [
        tone(LETTERS[letter] * generator.uniform(0.95, 1.05), 0.16) if letter in LETTERS else np.zeros(RATE // 5)
        for letter in text
    ]
    samples = np.concatenate([np.concatenate([piece, np.zeros(RATE // 20)]) for piece in pieces])
    return encoded((samples + generator.normal(0, 0.01, len(samples))).astype(np.float32), RATE, "pcm_s16le", "wav")


def recordings(count: int, seed: int) -> list[dict]:
    """Two words of one or two letters each; a few records have no recording."""
    generator = np.random.default_rng(seed)
    rows = []
    for row in range(count):
        words = ["".join(generator.choice(list(LETTERS), generator.integers(1, 3))) for _ in range(2)]
        sound = None if row % 23 == 7 else spoken(" ".join(words), generator)
        rows.append({"voice": sound, "says": " ".join(words), "speaker": f"s{row % 8}"})
    return rows


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("runs") / "speech"
    run = sensorium.fit(
        recordings(160, 0), folder, target={"says": "text"}, columns={"voice": "audio"}, group="speaker", test=0.2,
        head={"says": "ctc,width=64,normalise=english"}, encoders={"voice": SMALL}, quiet=True, epochs=20,
        batch_size=16, near_copies=False, refit=False, learning_rate=0.005, modality_dropout=0,
    )  # fmt: skip
    return SimpleNamespace(folder=folder, model=run.model, figures=run.report.to_dict(), run=run)


def test_a_recogniser_is_learned_from_scratch_and_judged_by_its_words(run):
    reached, written = run.figures["targets"]["says"], run.figures["written"]["says"]
    assert reached["word_error_rate"]["value"] < 0.25 and reached["word_error_rate"]["chance"] > 0.7
    assert reached["character_error_rate"]["value"] < 0.25
    wrong = sum(reached[f"word_{name}"]["value"] for name in ("insertions", "deletions", "substitutions"))
    assert wrong == pytest.approx(reached["word_error_rate"]["value"])
    assert written["units"] == 2 and "normaliser 'english'" in written["sentence"]  # two speakers are scored
    assert run.model.encoders["voice"].config.seconds == 30


def test_it_writes_greedily_and_by_beams_and_a_record_alone_as_in_a_table(run):
    records = recordings(48, 1)
    frame = sensorium.write(run.model, [{"voice": record["voice"]} for record in records])
    right = [text == record["says"] for text, record in zip(frame["says"], records, strict=True)]
    assert np.mean(right) > 0.8 and frame["says"][7] == ""
    beams = sensorium.write(run.model, [{"voice": record["voice"]} for record in records], beams=4, best=2)
    assert [len(texts) for texts in beams["says_best"]] == [2] * 48
    again = load(run.folder / "model")
    for row in (0, 9, 31):
        alone = sensorium.write(again, [{"voice": records[row]["voice"]}])
        assert alone["says"][0] == frame["says"][row]
        assert alone["says_probability"][0] == pytest.approx(frame["says_probability"][row], rel=1e-3)
    with pytest.raises(UserError, match="takes no temperature"):
        sensorium.write(run.model, [{"voice": records[0]["voice"]}], temperature=1.0)


def test_the_report_has_an_alignment_of_what_is_wrong(run):
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "REF: " in page and "HYP: " in page


def test_a_normaliser_is_for_texts_alone():
    records = [{"size": row % 7 + 0.5, "kind": "ab"[row % 2]} for row in range(20)]
    with pytest.raises(UserError, match="'kind' is class, and only texts are normalised"):
        sensorium.fit(records, target="kind", head="classes,normalise=english", quiet=True)


def test_a_spoken_question_about_a_picture_is_answered(tmp_path):
    generator = np.random.default_rng(0)
    rows = []
    for _ in range(160):
        red, large, asks_size = generator.integers(0, 2, 3)
        picture = np.full((24, 24, 3), 230, np.uint8)
        picture[2 : 20 if large else 8, 2 : 20 if large else 8] = (200, 30, 30) if red else (30, 30, 200)
        question = spoken("a" if asks_size else "d", generator)
        answer = ("small", "large")[large] if asks_size else ("blue", "red")[red]
        rows.append({"picture": picture, "question": question, "answer": answer})
    run = sensorium.fit(
        pd.DataFrame(rows), tmp_path / "run", target={"answer": "class"},
        columns={"picture": "image", "question": "audio"},
        encoders={"picture": "image_conv,size=24,augmentation=null", "question": f"{SMALL},quick=true"},
        fusion="transformer", test=0.25, quiet=True, epochs=16, batch_size=16, near_copies=False, refit=False,
        experts=False, modality_dropout=0.05, learning_rate=0.005,
    )  # fmt: skip
    reached = run.report.to_dict()
    accuracy = reached["targets"]["answer"]["accuracy"]["value"]
    assert accuracy > 0.85
    for name in ("picture", "question"):  # neither says the answer without the other
        inputs = reached["inputs"]["answer"]
        assert inputs[name]["alone"]["value"] < accuracy - 0.2
