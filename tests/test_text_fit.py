"""A text target from a table to the report: fitted, judged by what is written, written from, saved and loaded."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as parquet
import pytest

import sensorium
from sensorium.data.records import Records
from sensorium.evaluation import writing
from sensorium.model import load
from sensorium.training.validation import _fused, calibrate

COLOURS, KINDS = ["red", "blue", "green", "black"], ["circle", "square", "star"]
METRICS = {"chrf", "bleu", "cider", "rouge_l", "exact_match", "neg_loss"}
METRICS |= {"word_error_rate", "character_error_rate", "word_insertions", "word_deletions", "word_substitutions"}


def scenes(rows: int = 160) -> list[dict]:
    """A colour and a shape, and the sentence that says both, in one way or in two; some lack one of them."""
    rng = np.random.default_rng(0)
    records = []
    for row in range(rows):
        colour, kind = rng.choice(COLOURS), rng.choice(KINDS)
        text = f"There is a {colour} {kind} here."
        records.append(
            {
                "paint": None if row % 11 == 5 else colour,
                "shape": f"the shape of a {kind}",
                "says": None if row % 13 == 7 else [text, f"A {colour} {kind}."] if row % 5 == 0 else text,
            }
        )
    return records


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("runs") / "says"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "MOST_RECORDS", 20)
        run = sensorium.fit(
            scenes(), folder, target={"says": "text"}, columns={"paint": "category", "shape": "text"}, test=0.3,
            quiet=True, epochs=30, near_copies=False, learning_rate=0.002,
        )  # fmt: skip
    return SimpleNamespace(folder=folder, model=run.model, figures=json.loads((folder / "metrics.json").read_text()))


def test_what_is_written_is_judged_beside_chance_and_without_each_input(run):
    reached, written = run.figures["targets"]["says"], run.figures["written"]["says"]
    assert set(reached) == METRICS
    assert reached["exact_match"]["low"] > reached["exact_match"]["chance"] and reached["chrf"]["value"] > 0.8
    assert written["records"] == 20 < written["of"] == run.figures["records"]["targets"]["says"]
    assert written["sentence"].startswith(f"Written for 20 of {written['of']} records; ")
    assert set(written["without"]) == {"paint", "shape"}
    assert written["without"]["paint"]["exact_match"]["value"] < reached["exact_match"]["value"] - 0.3
    assert run.figures["inputs"]["says"]["metric"] == "neg_loss"
    assert run.figures["inputs"]["says"]["paint"]["shapley"]["low"] > 0
    beside = run.figures["baselines"]["says"]
    assert set(beside) == {"metric", "commonest", "nearest by shape", "without paint", "without shape"}
    assert beside["metric"] == "chrf" and beside["without paint"]["above"]["low"] > 0
    verdict = run.figures["verdicts"]["says"]
    assert verdict["kind"] == "works" and verdict["sentence"].startswith("It works: chrF ")


def test_texts_of_many_lengths_need_no_choice_after_training(run):
    """Batches whose longest texts differ cannot be joined."""
    model = load(run.folder)
    lengths = [1 + row // 40 for row in range(300)]
    records = [{"paint": "red", "shape": "a star", "says": " ".join(["A star."] * length)} for length in lengths]
    records = Records(model.read(records), model.processors)
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        _fused(model, records, model.heads.names)
    calibrate(model, records)


def test_the_scores_hold_references_and_texts_and_the_report_shows_the_worst(run):
    scores = parquet.read_table(run.folder / "scores.parquet").to_pandas()
    every = scores[scores["coalition"] == "all"]
    assert (
        every["says_decision"].notna().sum() == 20 and every["says_loss"].notna().sum() == every["says"].notna().sum()
    )
    assert scores[scores["coalition"] == "none"]["says_decision"].isna().all()
    page = (run.folder / "report.html").read_text()
    assert run.figures["written"]["says"]["sentence"] in page and "There is a" in page
    wrong = [
        row for row in every.itertuples() if isinstance(row.says_decision, str) and row.says_decision not in row.says
    ]
    for row in wrong[:1]:
        assert row.says_decision in page


def test_a_model_writes_the_same_after_loading_and_in_any_company(run):
    records = [{key: record[key] for key in ("paint", "shape")} for record in scenes()[:12]]
    loaded = load(run.folder)
    texts = [row["says"]["decision"] for row in run.model.predict(records)]
    assert texts == [row["says"]["decision"] for row in loaded.predict(records)]
    assert texts == [loaded.predict([record])[0]["says"]["decision"] for record in records]
    frame = sensorium.predict(loaded, pd.DataFrame(records))
    assert frame["says"].tolist() == texts and frame["says_probability"].between(0, 1).all()
    nothing = loaded.predict([{"paint": None, "shape": None}])[0]
    assert nothing["says"]["decision"] and nothing["absent"] == ["paint", "shape"]


def test_write_gives_the_n_best_with_probabilities_and_streams(run, tmp_path):
    records = [{"paint": "red", "shape": "the shape of a star"}, {"paint": "blue", "shape": "the shape of a circle"}]
    frame = sensorium.write(run.folder, records, beams=4, best=3)
    assert frame.columns.tolist()[:3] == ["key", "says", "says_probability"]
    for _, row in frame.iterrows():
        assert len(set(row["says_best"])) == 3 and row["says_best"][0] == row["says"]
        assert sum(row["says_best_probabilities"]) <= 1
    heard: dict[str, str] = {}

    def hear(key: str, piece: str) -> None:
        heard[key] = heard.get(key, "") + piece

    greedy = sensorium.write(run.folder, records, stream=hear)
    assert list(heard.values()) == greedy["says"].tolist()
    assert greedy["says"].tolist() == sensorium.write(run.folder, records)["says"].tolist()
    sampled = [sensorium.write(run.folder, records, temperature=2.0, seed=seed)["says"].tolist() for seed in (1, 1, 2)]
    assert sampled[0] == sampled[1] != sampled[2]
    assert (
        sensorium.write(run.folder, records, choices=["A red star.", "No."])["says"].isin(["A red star.", "No."]).all()
    )
    for suffix, read in ((".parquet", pd.read_parquet), (".csv", pd.read_csv)):
        summary = sensorium.write(run.folder, records, tmp_path / f"texts{suffix}")
        assert summary["records"] == 2 and read(tmp_path / f"texts{suffix}")["says"].tolist() == greedy["says"].tolist()
    sensorium.write(run.folder, records, tmp_path / "texts.txt", max_tokens=3)
    assert len((tmp_path / "texts.txt").read_text().splitlines()) == 2


def test_options_that_do_not_fit_are_sentences(run, tmp_path):
    records = scenes()[:2]
    for options, message in (
        ({"beam": 3}, "There is no option of writing 'beam'; did you mean 'beams'"),
        ({"beams": 0}, "beams: Input should be greater than or equal to 1"),
        ({"beams": 2, "temperature": 1.0}, "leave one of the two out"),
        ({"best": 3}, "raise beams"),
    ):
        with pytest.raises(sensorium.UserError, match=message):
            sensorium.write(run.folder, records, **options)
    with pytest.raises(sensorium.UserError, match="no known kind"):
        sensorium.write(run.folder, records, tmp_path / "texts.xlsx")
    with pytest.raises(sensorium.UserError, match="There is no model in"):
        sensorium.write(tmp_path / "nothing", records)
    with pytest.raises(sensorium.UserError, match=r"reads paint \(table\), shape \(text\)"):
        (tmp_path / "a.png").touch()
        sensorium.write(run.folder, tmp_path / "a.png")


def test_a_model_without_a_text_says_what_it_decides(tmp_path):
    run = sensorium.fit(scenes(40), tmp_path / "run", target="paint", inputs=["shape"], epochs=1, quiet=True)
    with pytest.raises(sensorium.UserError, match=r"writes no text: its targets are paint \(class\)"):
        sensorium.write(run, scenes()[:2])


def test_an_evaluation_of_a_loaded_model_has_no_nearest_training_text(run):
    report = sensorium.evaluate(load(run.folder), scenes()[:60], resamples=50)
    assert {"commonest", "without paint", "without shape"} == set(report.to_dict()["baselines"]["says"]) - {"metric"}
    assert "Written for 55 of 55 records" in str(report) and any("Written for" in line for line in report.brief())


def test_a_run_goes_on_with_sentences_whose_words_its_tokenizer_splits(run, tmp_path):
    new = [{"paint": "red", "shape": "the shape of a star", "says": f"Voilà: Sternchen №{row}!"} for row in range(40)]
    further = sensorium.fit(new, tmp_path / "further", start_from=run.folder, epochs=1, quiet=True, near_copies=False)
    head, old = further.model.heads["says"], run.model.heads["says"]
    assert head.processor.tokenizer.to_str() == old.processor.tokenizer.to_str()
    assert head.processor.spell(head.processor("Voilà: Sternchen №7!")) == "Voilà: Sternchen №7!"


def test_what_needs_a_decision_refuses_texts(run, tmp_path):
    with pytest.raises(sensorium.UserError, match="'says' is text, which is near or far"):
        sensorium.compare(scenes(30), tmp_path / "compared", target={"says": "text"}, quiet=True)
    with pytest.raises(sensorium.UserError, match="'late' gives none; choose transformer, or leave the fusion out"):
        sensorium.fit(scenes(30), tmp_path / "late", target={"says": "text"}, fusion="late", quiet=True)
