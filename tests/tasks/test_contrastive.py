"""`pretrain`: inputs of any names and kinds brought into one space, by the machinery of a fit."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
import yaml
from safetensors.torch import load_file, save_file

import sensorium
from sensorium.data.sources.write_shards import pack
from sensorium.errors import UserError
from sensorium.tasks import contrastive as pretraining
from tests.pretraining import SMALL, pairs, small


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def run(table: Path) -> sensorium.Run:
    options = small(batch_size=42, epochs=40, learning_rate=0.003, refit=False, patience=40)
    return sensorium.pretrain("clip", table, out=table.parent / "run", **options)


def log(run: sensorium.Run) -> list[dict[str, float]]:
    with open(run.folder / "log.csv") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_the_loss_falls_well_below_chance_and_the_log_says_what_chance_is(run):
    first, last = log(run)[0], log(run)[-1]
    assert first["chance"] == pytest.approx(np.log(42))
    assert first["loss"] > 0.9 * first["chance"]
    assert last["loss"] < 0.3 * last["chance"]
    assert first["temperature"] == pytest.approx(0.07, rel=0.05) and last["temperature"] != first["temperature"]
    assert 0 < first["spread_photo"] < 1 and first["spread_caption"] < last["spread_caption"] <= 1
    assert last["validation_recall@1_photo→caption"] >= first["validation_recall@1_photo→caption"]


def test_the_run_is_a_fits_folder_and_its_model_embeds_both_inputs(run, table):
    metrics = json.loads((run.folder / "metrics.json").read_text())
    assert metrics["retrieval"].keys() == {"photo→caption", "caption→photo"}
    assert metrics["retrieval"]["photo→caption"]["recall@1"]["chance"] == pytest.approx(1 / 7)
    assert metrics["cost"]["train_seconds"] > 0
    model = sensorium.load(run.folder)
    assert model.encoders.names == ["photo", "caption"] and model.schema.targets == []
    records = model.read(table)
    photos, captions = model.embed(records, "photo"), model.embed(records, "caption")
    assert photos.dtype == np.float32 and np.allclose(np.linalg.norm(photos, axis=1), 1, atol=1e-5)
    scores = photos @ captions.T  # [49, 49]
    assert np.median((scores > np.diag(scores)[:, None]).sum(axis=1)) <= 4, "by chance it is 24"


def test_the_recipe_of_a_run_repeats_it(run, table, tmp_path):
    recipe = yaml.safe_load((run.folder / "recipe.yaml").read_text())
    assert recipe["data"]["inputs"] == ["photo", "caption"] and recipe["family"]["name"] == "clip"
    recipe["training"]["epochs"] = 1
    first = sensorium.pretrain("clip", recipe=recipe, out=tmp_path / "a", quiet=True)
    again = sensorium.pretrain(
        "clip",
        table,
        out=tmp_path / "b",
        **small(batch_size=42, epochs=1, learning_rate=0.003, refit=False, patience=40),
    )
    assert (first.folder / "model/model.safetensors").read_bytes() == (
        again.folder / "model/model.safetensors"
    ).read_bytes()
    with pytest.raises(UserError, match="is one of pretraining"):
        sensorium.fit(recipe=recipe, out=tmp_path / "c", quiet=True)


def test_several_captions_of_a_picture_stay_on_one_side(table, tmp_path, capsys):
    frame = pd.read_csv(table)
    more = pd.concat([frame, frame.assign(caption="there is " + frame["caption"])], ignore_index=True)
    more.sample(frac=1, random_state=0).to_csv(table.parent / "twice.csv", index=False)
    options = small(epochs=1, refit=False, test=0.3) | {"quiet": False}
    run = sensorium.pretrain("clip", table.parent / "twice.csv", out=tmp_path / "run", **options)
    assert "98 records in 49 groups" in capsys.readouterr().out
    scores = pd.read_parquet(run.folder / "scores.parquet")
    counts = scores["direction"].value_counts()
    assert 2 * counts["photo→caption"] == counts["caption→photo"], "each held-out picture has both captions"


def test_a_pair_is_aligned_alone_by_labels_and_the_sigmoid_loss_and_a_frozen_encoder_is_cached(table, tmp_path):
    frame = pd.read_csv(table)
    frame["thumb"] = frame["photo"].where(frame.index % 4 > 0)
    frame.to_csv(table.parent / "labelled.csv", index=False)
    torch.manual_seed(0)
    weights = tmp_path / "weights.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), weights)
    thumb = {"encoder": "timm", "config": {"model": "test_resnet", "weights": str(weights), "size": 16}}
    options = small(image=None, text=None, inputs="photo,caption,thumb", columns={"caption": "text"}, epochs=2, dim=24)
    options |= {"align": [("photo", "caption"), ("caption", "thumb")], "labels": "shade", "loss": "sigmoid"}
    options |= {"batch_size": 16, "encoders": SMALL | {"thumb": thumb}}
    run = sensorium.pretrain("clip", table.parent / "labelled.csv", out=tmp_path / "run", **options)
    assert run.metrics["retrieval"].keys() == {"photo→caption", "caption→photo", "caption→thumb", "thumb→caption"}
    assert set(pd.read_parquet(run.folder / "scores.parquet")["direction"]) == run.metrics["retrieval"].keys()
    model = sensorium.load(run.folder)
    assert -12 < model.logit_bias.item() != -10.0
    assert list((run.folder / "features").iterdir()), "the frozen encoder ran once"
    before, after = load_file(weights), list(model.encoders["thumb"].state_dict().values())
    kept = [any(one.shape == two.shape and torch.equal(one, two) for two in after) for one in before.values()]
    assert all(kept), "a frozen encoder stays as it was"
    assert model.embed([{"thumb": None}], "thumb").tolist() == [[0.0] * 24]


def test_records_of_shards_are_seen_once_an_epoch(table, tmp_path):
    pack(table, tmp_path / "shards", {"caption": "text"}, 7)
    options = small(epochs=1, batch_size=16, refit=False)
    run = sensorium.pretrain("clip", str(tmp_path / "shards" / "*.tar"), out=tmp_path / "run", **options)
    assert run.metrics["records"]["all"] == 7


def test_retrieval_is_scored_among_so_many_records_at_most(table, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pretraining, "MOST", 5)
    options = small(epochs=1, batch_size=16, refit=False, test=0.3) | {"quiet": False}
    run = sensorium.pretrain("clip", table, out=tmp_path / "run", **options)
    assert "scored among 5 of the 15 test records" in capsys.readouterr().out
    assert run.metrics["records"]["all"] == 5
    assert run.metrics["retrieval"]["photo→caption"]["recall@1"]["chance"] == pytest.approx(1 / 5)
