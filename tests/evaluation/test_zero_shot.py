"""Zero-shot: labels as texts, templates, calibration, none of these; files and tables; what is printed and saved."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as parquet
import pytest
import torch

from sensorium.errors import UserError
from sensorium.evaluation.templates import IMAGENET, SIMPLE, labels_of, templates_of
from sensorium.evaluation.zero_shot import ZeroShot
from sensorium.evaluation.zero_shot_report import TOP, evaluate_zero_shot, label_metrics
from sensorium.metrics import Resamples
from tests.evaluation import pairs
from tests.reviews import sensorium

COLOURS = list(pairs.COLOURS)


@pytest.fixture(scope="module")
def taught():
    return pairs.model()


@pytest.fixture(scope="module")
def made(tmp_path_factory, taught):
    folder = tmp_path_factory.mktemp("pairs") / "world"
    pairs.make(folder)
    taught.save(folder / "run")
    return folder


@pytest.fixture
def world(made, monkeypatch):
    monkeypatch.chdir(made)
    return made


def test_probabilities_are_the_softmax_of_the_mean_of_the_templates(taught, world):
    shot = ZeroShot(taught, COLOURS, ("{}", "a {} square"), precision="fp32")
    table = taught.read("pairs.csv")
    photos = taught.embed(table, "photo")
    both = np.stack(
        [taught.embed([{"caption": f.format(c)} for c in COLOURS], "caption") for f in ("{}", "a {} square")]
    )
    labels = both.mean(axis=0)
    labels /= np.linalg.norm(labels, axis=1, keepdims=True)
    logits = torch.from_numpy(photos @ labels.T) * taught.logit_scale.exp()
    np.testing.assert_allclose(shot.scores(table), logits.detach().softmax(dim=1), atol=1e-5)


def test_a_sigmoid_model_judges_each_label_alone(world):
    model = pairs.model(bias=-3.0, steps=0)
    shot = ZeroShot(model, COLOURS, precision="fp32")
    photos, texts = model.embed("pairs.csv", "photo"), model.embed([{"caption": c} for c in COLOURS], "caption")
    logits = torch.from_numpy(photos @ texts.T) * model.logit_scale.exp() - 3
    np.testing.assert_allclose(shot.scores(model.read("pairs.csv")), logits.detach().sigmoid(), atol=1e-5)


def test_it_knows_the_colours_and_each_text_is_encoded_once(taught, world, monkeypatch):
    seen, forward = [], type(taught.encoders["caption"]).forward
    monkeypatch.setattr(
        type(taught.encoders["caption"]), "forward",
        lambda self, inputs: seen.append(len(inputs["tokens"])) or forward(self, inputs),
    )  # fmt: skip
    shot = ZeroShot(taught, COLOURS, ("{}", "a {} square", "{}"))
    table = taught.read("pairs.csv")
    decided = [one["label"] for one in shot.classify(table)] + [one["label"] for one in shot.classify(table)]
    assert np.mean(np.array(decided[:48]) == table.frame["colour"]) > 0.9
    assert sum(seen) == 2 * len(COLOURS)


def test_top_and_none_and_absent(taught, world):
    shot = ZeroShot(taught, COLOURS, none_below=0.9999)
    said = shot.classify([{"photo": "pictures/00.png"}, {"caption": "red"}], top=2)
    assert said[0]["label"] is None and len(said[0]["top"]) == 2 and not said[0]["absent"]
    assert (
        said[0]["top"][0]["probability"]
        >= said[0]["top"][1]["probability"]
        == pytest.approx(said[0]["top"][1]["probability"])
    )
    assert said[1] == {"label": None, "probability": None, "top": [], "absent": True}
    shot.none_below = None
    assert shot.classify([{"photo": "pictures/00.png"}])[0]["label"] == "red"


@pytest.mark.parametrize("bias", [None, -2.0])
def test_calibration_mends_a_wrong_temperature(world, bias):
    model = pairs.model()
    if bias is not None:
        model.logit_bias = torch.nn.Parameter(torch.tensor(bias))
    with torch.no_grad():
        model.logit_scale.fill_(np.log(20))  # far too certain
    shot = ZeroShot(model, COLOURS)
    table = model.read("pairs.csv")
    truth = table.frame["colour"].tolist()
    wrong = COLOURS[1:] + COLOURS[:1]
    truth = [wrong[COLOURS.index(one)] if place % 4 == 0 else one for place, one in enumerate(truth)]
    done = shot.calibrate(shot.embed(table), truth)
    assert shot.temperature > 1 and done["records"] == 48 and done["none"] == 0
    assert done["calibration_error"]["after"] < done["calibration_error"]["before"]


def test_the_threshold_is_chosen_with_records_of_other_labels(taught, world):
    shot = ZeroShot(taught, COLOURS[:3])
    table = taught.read("pairs.csv")
    truth = table.frame["colour"].tolist()
    done = shot.calibrate(shot.embed(table), truth, threshold=True)
    assert done["none"] == 24 and 0 < shot.none_below < 1
    decided = [one["label"] for one in shot.classify(table)]
    truth = [one if one in COLOURS[:3] else None for one in truth]
    always = np.mean(
        [one["label"] == other for one, other in zip(ZeroShot(taught, COLOURS[:3]).classify(table), truth, strict=True)]
    )
    assert np.mean([one == other for one, other in zip(decided, truth, strict=True)]) > max(always, 0.55)
    with pytest.raises(UserError, match="they do not say when it is none of them"):
        shot.calibrate(shot.embed(table.take(np.arange(3))), COLOURS[:3], threshold=True)


def test_evaluation_has_intervals_and_chance(taught, world, tmp_path):
    report = evaluate_zero_shot(taught, taught.read("pairs.csv"), "colour", out=tmp_path, resamples=100)
    assert report.scored == 48 and report.metrics["accuracy"].value > 0.9
    assert report.metrics["accuracy"].chance == pytest.approx(1 / 6)
    assert report.metrics["top_5_accuracy"].chance == pytest.approx(5 / 6)
    assert report.metrics["f1_macro"].low is not None
    said = json.loads((tmp_path / "metrics.json").read_text())
    assert said["zero_shot"]["colour"]["accuracy"]["value"] == report.metrics["accuracy"].value
    saved = parquet.read_table(tmp_path / "scores.parquet").to_pandas()
    assert (saved["colour"] == saved["colour_decision"]).mean() == pytest.approx(report.metrics["accuracy"].value)
    some = evaluate_zero_shot(taught, taught.read("pairs.csv"), "colour", "red,green", resamples=10)
    assert (some.scored, some.other) == (16, 32)


def test_top_five_counts_ties_half():
    probabilities = np.full((4, 7), 1 / 7)
    given = {"probabilities": probabilities, "decision": probabilities.argmax(axis=1)}
    metrics = label_metrics({"label": np.arange(4)}, given, Resamples(4, None, 10))
    assert metrics[f"top_{TOP}_accuracy"].value == 1  # the middle place of seven is the fourth
    probabilities = np.tile(np.arange(7, 0, -1) / 28, (7, 1))
    given = {"probabilities": probabilities, "decision": probabilities.argmax(axis=1)}
    metrics = label_metrics({"label": np.arange(7)}, given, Resamples(7, None, 10))
    assert metrics[f"top_{TOP}_accuracy"].value == pytest.approx(5 / 7)


@pytest.mark.parametrize("source", ["pictures", "'pictures/*.png'", "pairs.csv"])
def test_files_and_tables_are_classified(world, tmp_path, source):
    labels = ",".join(COLOURS)
    said = sensorium(f'classify run {source} --labels "{labels}" --out {tmp_path / "out.csv"} --top 2')
    assert said.code == 0, said.err
    found = pd.read_csv(tmp_path / "out.csv")
    truth = pd.read_csv("pairs.csv")["colour"]
    assert (found["label"] == truth).mean() > 0.9 and len(found["top_labels"][0].split("|")) == 2
    assert found["key"][3] == {"pictures": "03.png", "pairs.csv": 4}.get(source, "pictures/03.png")
    assert said.out.strip() == f"48 predictions in {tmp_path / 'out.csv'}."


def test_one_file_printed_and_as_json(world):
    said = sensorium('classify run pictures/00.png --labels "red,green" --templates imagenet')
    assert said.code == 0 and "pictures/00.png" in said.out and "red" in said.out
    said = sensorium('classify run pictures/00.png --labels "red,green" --json')
    (row,) = json.loads(said.out)["predictions"]
    assert row["key"] == "pictures/00.png" and row["label"] == "red" and len(row["top_labels"]) == 2


def test_support_on_the_command_line(world, tmp_path):
    Path(tmp_path / "labels.txt").write_text("red\n\ngreen\nblue\n")
    command = f"classify run pictures --labels {tmp_path / 'labels.txt'} --support pairs.csv --target colour"
    said = sensorium(f"{command} --none-below auto --out {tmp_path / 'out.parquet'}")
    assert said.code == 0, said.err
    assert "expected calibration error" in said.out and "24 records of other labels" in " ".join(said.out.split())
    assert parquet.read_table(tmp_path / "out.parquet")["label"].null_count > 10


def test_bad_pictures_stop_or_are_set_aside(world, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/a.png").write_bytes(Path("pictures/00.png").read_bytes())
    (tmp_path / "pictures/b.png").write_text("no picture")
    (tmp_path / "pictures/.c.png").write_text("hidden")
    (tmp_path / "pictures/d.txt").write_text("a text")
    command = f'classify run {tmp_path / "pictures"} --labels "red,green" --out {tmp_path / "out.jsonl"}'
    said = sensorium(command)
    assert said.code == 2 and "b.png: the file is not a picture" in said.err and not (tmp_path / "out.jsonl").exists()
    said = sensorium(f"{command} --bad-records skip")
    assert said.code == 0 and "1 record set aside" in said.out
    assert json.loads((tmp_path / "out.jsonl").read_text())["key"] == "a.png"
    assert "b.png" in (tmp_path / "bad_records.csv").read_text()


def test_the_published_templates_are_all_there():
    metadata = pytest.importorskip("open_clip.zero_shot_metadata", reason="needs open_clip to compare with")
    assert [one("cat") for one in metadata.OPENAI_IMAGENET_TEMPLATES] == [one.replace("{}", "cat") for one in IMAGENET]
    assert [one("cat") for one in metadata.SIMPLE_IMAGENET_TEMPLATES] == [one.replace("{}", "cat") for one in SIMPLE]


def test_a_label_may_have_braces_and_a_template_file_is_read(taught, world, tmp_path):
    (tmp_path / "own.txt").write_text("{}\nthe colour {}\n")
    assert templates_of(tmp_path / "own.txt") == ("{}", "the colour {}")
    assert ZeroShot(taught, ["{red}", "a {0}"], str(tmp_path / "own.txt")).vectors.shape == (2, 16)
    assert labels_of(" red , green") == ["red", "green"]
