"""Retrieval of a table: each content once, both directions, bad records, groups, what is printed and saved."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as parquet
import pytest

import sensorium
from sensorium.errors import RecordError, UserError
from sensorium.evaluation.retrieval import evaluate_retrieval
from sensorium.metrics.retrieval import retrieval, retrieval_figures
from tests.evaluation import pairs
from tests.reviews import sensorium as command


@pytest.fixture(scope="module")
def taught():
    return pairs.model()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, taught):
    folder = tmp_path_factory.mktemp("pairs") / "world"
    pairs.make(folder)
    taught.save(folder / "run")
    return folder


def records(folder) -> list[dict[str, str]]:
    table = pd.read_csv(folder / "pairs.csv")
    return [{"photo": str(folder / row.photo), "caption": row.caption} for row in table.itertuples()]


def test_figures_are_those_of_the_embeddings(taught, folder):
    table = taught.read(folder / "pairs.csv")
    report = evaluate_retrieval(taught, table, resamples=50)
    captions = table.frame["caption"].tolist()
    texts = {text: index for index, text in enumerate(captions)}
    both = retrieval(
        taught.embed(table, "photo"), taught.embed(table, "caption"),
        np.arange(len(captions)), np.array([texts[text] for text in captions]),
    )  # fmt: skip
    assert [one.name for one in report.directions] == ["photo→caption", "caption→photo"]
    for one, direction in zip(report.directions, both, strict=True):
        expected = retrieval_figures(direction)
        assert {name: value.value for name, value in one.metrics.items()} == pytest.approx(expected)
        assert one.queries == len(direction.records) and one.items == direction.items
    assert report.directions[1].queries == 24 and report.directions[1].items == 48


def test_each_content_is_encoded_once(taught, folder, monkeypatch):
    seen = []
    forward = type(taught.encoders["caption"]).forward
    monkeypatch.setattr(
        type(taught.encoders["caption"]), "forward",
        lambda self, inputs: seen.append(len(inputs["tokens"])) or forward(self, inputs),
    )  # fmt: skip
    evaluate_retrieval(taught, taught.read(records(folder) * 2), resamples=10)
    assert sum(seen) == 24


def test_records_may_lack_an_input(taught, folder):
    some = records(folder)
    some[0]["caption"], some[1]["photo"] = None, None
    report = evaluate_retrieval(taught, taught.read(some), resamples=10)
    assert report.present == {"photo": 47, "caption": 47} and report.records == 48
    assert report.directions[0].queries == 46


def test_intervals_are_drawn_by_group(folder):
    grouped = pairs.model("maker", steps=0)
    plain = grouped.schema.model_copy(update={"group": None})
    by_group = evaluate_retrieval(grouped, grouped.read(folder / "pairs.csv"))
    grouped.schema = plain
    alone = evaluate_retrieval(grouped, grouped.read(folder / "pairs.csv"))
    for one, other in zip(by_group.directions, alone.directions, strict=True):
        assert one.metrics["recall@10"].value == other.metrics["recall@10"].value
        assert one.metrics["recall@10"] != other.metrics["recall@10"]
    assert by_group.samples["group"].null_count == 0 and alone.samples["group"].null_count == len(alone.samples)


def test_a_model_that_has_learned_nothing_is_told_so(folder):
    untaught = pairs.model(steps=0)
    report = evaluate_retrieval(untaught, untaught.read(folder / "pairs.csv"))
    assert "That is no more than chance." in report.directions[0].sentence


def test_bad_records_stop_or_are_set_aside(taught, folder, tmp_path):
    some = records(folder)
    (tmp_path / "no.png").write_text("no picture")
    some[3]["photo"], some[5]["photo"] = str(tmp_path / "no.png"), str(tmp_path / "gone.png")
    with pytest.raises(RecordError, match="Row 6.*there is no such file"):
        evaluate_retrieval(taught, taught.read(some))
    with pytest.raises(RecordError, match="Row 4.*not a picture"):
        evaluate_retrieval(taught, taught.read(some[:5]))
    report = evaluate_retrieval(taught, taught.read(some), bad_records="skip", out=tmp_path / "out", resamples=10)
    assert (report.bad, report.records) == (2, 46)
    assert (tmp_path / "out/bad_records.csv").read_text().count("\n") == 3


def test_python_evaluates_what_the_model_is_for(taught, folder):
    assert set(sensorium.evaluate(taught, taught.read(folder / "pairs.csv"), resamples=10).to_dict()) >= {"retrieval"}
    with pytest.raises(UserError, match="--pair says nothing to --task targets"):
        sensorium.evaluate(taught, taught.read(folder / "pairs.csv"), "targets", pair=("photo", "caption"))
    with pytest.raises(UserError, match="decides on no target"):
        sensorium.evaluate(taught, taught.read(folder / "pairs.csv"), "targets")


def test_it_is_printed_and_saved(folder, tmp_path):
    said = command(f"evaluate {folder / 'run'} {folder / 'pairs.csv'} --out {tmp_path / 'out'}")
    assert said.code == 0, said.err
    assert "photo→caption: 48 queries among 24 items" in said.out and "recall@10" in said.out
    assert "Given 'caption', what belongs to it comes first of 48 photos in" in said.out
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    first = metrics["retrieval"]["caption→photo"]["recall@1"]
    assert set(first) == {"value", "low", "high", "chance"} and first["chance"] == pytest.approx(2 / 48)
    scores = parquet.read_table(tmp_path / "out/scores.parquet").to_pandas()
    back = scores[scores.direction == "caption→photo"]
    assert len(back) == 24 and (back["rank"] <= 1).mean() == pytest.approx(first["value"])
    assert set(scores) == {"key", "group", "direction", "rank", "average_precision"}
    said = command(f"evaluate {folder / 'run'} {folder / 'pairs.csv'} --task retrieval --pair caption,photo --json")
    assert list(json.loads(said.out)["retrieval"]) == ["caption→photo", "photo→caption"]


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        (("photo", "sound"), "There is no input 'sound'"),
        (("photo", "photo"), "two different inputs"),
        (("photo",), "two different inputs"),
    ],
)
def test_a_pair_that_is_none(taught, folder, pair, sentence):
    with pytest.raises(UserError, match=sentence):
        evaluate_retrieval(taught, taught.read(folder / "pairs.csv"), pair)


def test_no_record_has_both(taught, folder):
    some = [{"photo": records(folder)[0]["photo"]}, {"caption": "red"}]
    with pytest.raises(UserError, match="has two of the inputs photo, caption"):
        evaluate_retrieval(taught, taught.read(some))
