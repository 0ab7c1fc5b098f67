"""`pretrain`: inputs of any names and kinds brought into one space, by the machinery of a fit."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

import sensorium
from sensorium.errors import UserError
from tests.pretraining import pairs, small


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
    assert ((photos @ captions.T).argmax(axis=1) == np.arange(len(records))).mean() > 0.4


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
