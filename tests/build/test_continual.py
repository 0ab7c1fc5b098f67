"""Going on from a trained run: what it knew stays, what is new joins, and what is lost is measured."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import sensorium as api
from sensorium.build.continual import build_from, extend_heads
from sensorium.config.load import check_recipe, read_recipe
from sensorium.data.read import read
from sensorium.heads.ensemble import without_experts
from sensorium.tasks.splits import split_records

CENTRES = {"north": (0, 2), "south": (0, -2), "east": (2, 0)}
TARGETS = {"side": "class", "marks": "labels", "height": "number"}
OLD = {"target": TARGETS, "columns": {"colour": "category"}, "test": 0.25, "epochs": 12}
FEW = {"workers": 0, "batch_size": 16, "quiet": True}


def records(count: int, seed: int, sides: tuple[str, ...] = ("north", "south"), spread: float = 0.5) -> pd.DataFrame:
    """Points around the centres of their sides; a mark for each half of the plane; a height that follows one axis."""
    chance = np.random.default_rng(seed)
    side = np.array(sides)[np.arange(count) % len(sides)]
    x, y = np.array([CENTRES[name] for name in side]).T + chance.normal(0, spread, (2, count))
    marks = [
        ("up" if b > 0 else "down") + ("|right" if name == "east" else "") for b, name in zip(y, side, strict=True)
    ]
    colour = np.array(["red", "blue", "green"])[chance.integers(3, size=count)]
    return pd.DataFrame({"x": x, "y": y, "colour": colour, "side": side, "marks": marks, "height": 10 * y + 3})


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with old.csv and a run on it in runs/old; not to be changed."""
    folder = tmp_path_factory.mktemp("warm")
    records(120, 0).to_csv(folder / "old.csv", index=False)
    api.fit(folder / "old.csv", folder / "runs" / "old", **OLD, **FEW)
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch) -> Path:
    """Another working folder, with `old` as the way to the trained run."""
    monkeypatch.chdir(tmp_path)
    return trained / "runs" / "old"


def test_more_of_the_same_keeps_what_was_known(here: Path):
    run = api.fit(records(60, 1), "more", start_from=here, epochs=3, **FEW)
    changes = run.metrics["forgetting"]["targets"]
    assert set(changes) == {"side", "marks", "height"}
    assert run.metrics["forgetting"]["part"] == "test"
    assert run.metrics["forgetting"]["records"] == 30
    assert changes["side"]["accuracy"]["after"] >= changes["side"]["accuracy"]["before"] - 0.05
    assert run.metrics["targets"]["side"]["accuracy"]["value"] > 0.9


def test_a_new_class_joins_after_the_old_ones(here: Path):
    new = records(90, 2, ("north", "south", "east"))
    run = api.fit(new, "more", start_from=here, epochs=12, learning_rate=1e-3, **FEW)
    targets = {spec.name: spec.labels for spec in run.model.schema.targets}
    assert targets == {"side": ["north", "south", "east"], "marks": ["down", "up", "right"], "height": []}
    assert api.load("more").schema == run.model.schema
    classes = run.metrics["classes"]["side"]
    assert all(classes[name]["recall"] > 0.7 for name in ("north", "south", "east")), classes
    assert classes["east"]["support"] > 0
    assert run.metrics["forgetting"]["targets"]["side"]["accuracy"]["after"] > 0.8


@pytest.mark.parametrize("fusion", ["hybrid", "concat"])
def test_what_a_head_knew_stays_bit_for_bit(here: Path, fusion: str):
    if fusion == "concat":
        api.fit(records(60, 0), "old", fusion="concat", target=TARGETS, epochs=1, **FEW)
        here = Path("old")
    old = api.load(here)
    schema = old.schema.model_copy(
        update={
            "targets": [
                spec.model_copy(update={"labels": [*spec.labels, "new"]}) if spec.labels else spec
                for spec in old.schema.targets
            ]
        }
    )
    grown = extend_heads(api.load(here), read(records(40, 3), schema=old.schema).under(schema), recipe_of(here))
    for part in ("encoders", "fusion"):
        assert states(getattr(grown, part)) == states(getattr(old, part))
    for name, head in grown.heads.items():
        mine, theirs = (dict(without_experts(module).named_parameters()) for module in (head, old.heads[name]))
        assert mine.keys() == theirs.keys()
        for key, weight in theirs.items():
            assert torch.equal(mine[key][: len(weight)], weight), (name, key)
            more = mine[key][len(weight) :].detach()
            assert len(more) == (0 if name == "height" or key == "shares" else 1)
            if weight.ndim > 1 and len(more):
                assert 0 < float(more.abs().max()) < 0.3 * float(weight.detach().abs().max())


def recipe_of(run: Path):
    return check_recipe(read_recipe(run / "recipe.yaml"))


def states(module: torch.nn.Module) -> dict[str, list]:
    return {key: value.tolist() for key, value in module.state_dict().items()}


def test_forgetting_is_what_both_models_score_by_hand(here: Path):
    run = api.fit(records(40, 4, ("north", "east")), "more", start_from=here, epochs=3, **FEW)
    old, recipe = api.load(here), recipe_of(here)
    table = read(Path(recipe.data.path), schema=old.schema)
    ids = {spec.name: np.arange(len(table)) for spec in table.schema.inputs}
    held = split_records(table, ids, recipe)["test"].table
    for name, model in (("before", old), ("after", api.load("more"))):
        said = api.evaluate(model, held).to_dict()["targets"]
        for target, changes in run.metrics["forgetting"]["targets"].items():
            for metric, change in changes.items():
                if target == "marks" and name == "after":
                    continue  # a label that is new is left out of the comparison
                assert change[name] == pytest.approx(said[target][metric]["value"], abs=1e-6), (name, target, metric)
    change = run.metrics["forgetting"]["targets"]["side"]["accuracy"]
    assert change["difference"]["value"] == pytest.approx(change["after"] - change["before"])
    assert change["difference"]["low"] <= change["difference"]["value"] <= change["difference"]["high"]
    assert json.loads(Path("more/metrics.json").read_text())["forgetting"] == run.metrics["forgetting"]


def test_records_of_the_old_test_are_left_out_and_old_ones_never_held_out(here: Path, capsys):
    old = pd.read_csv(here.parents[1] / "old.csv")
    grown = pd.concat([old, records(40, 5)], ignore_index=True)
    grown["key"] = [f"record-{row}" for row in range(len(grown))]
    grown.to_csv("grown.csv", index=False)
    api.fit("grown.csv", "more", start_from=here, epochs=1, workers=0)
    said = capsys.readouterr().out
    assert "30 of the 160 records stood in the old test part and will not be learned from." in said
    assert "Learned from before, so learned from again and not held out: 90 records." in said
    assert re.search(r"Records: 10 test, (116 train, 4|115 train, 5) validation", said), said
    scores = pd.read_parquet("more/scores.parquet")
    assert (scores["key"].astype(int) > 120).all()


def test_a_table_that_is_gone_or_changed_is_said_and_the_run_goes_on(here: Path, trained: Path, capsys):
    other = trained / "runs" / "moved"
    other.mkdir()
    for name in ("model", "scores.parquet"):
        (other / name).symlink_to(here / name)
    recipe = (here / "recipe.yaml").read_text().replace("old.csv", "gone.csv")
    (other / "recipe.yaml").write_text(recipe)
    run = api.fit(records(30, 6), "more", start_from=other, epochs=1, workers=0)
    assert "What is forgotten will not be measured. There is no file" in capsys.readouterr().out
    assert "forgetting" not in run.metrics
    named = api.fit(records(30, 6), "named", start_from=other, old_table=str(trained / "old.csv"), epochs=1, **FEW)
    assert named.metrics["forgetting"]["records"] == 30


def test_the_settings_of_the_old_run_are_the_base_but_slower(here: Path):
    api.fit(records(30, 7), "more", start_from=here, **(FEW | {"epochs": 1, "seed": 5}))
    old, new = recipe_of(here), recipe_of(Path("more"))
    assert new.data.test == old.data.test == 0.25
    assert new.training.learning_rate == pytest.approx(0.3 * old.training.learning_rate)
    assert new.seed == 5
    assert new.start_from == str(here)
    api.fit(records(30, 8), "again", start_from="more", **(FEW | {"epochs": 1}))
    assert recipe_of(Path("again")).training.learning_rate == new.training.learning_rate


def test_a_run_begins_with_the_weights_it_goes_on_from(here: Path):
    recipe = recipe_of(here).model_copy(update={"start_from": str(here)})
    old = api.load(here)
    begun = build_from(old, read(records(30, 7), schema=old.schema), recipe, {})
    assert {name: value.tolist() for name, value in begun.named_parameters()} == {
        name.replace(".late.", "."): value.tolist() for name, value in old.named_parameters()
    }
