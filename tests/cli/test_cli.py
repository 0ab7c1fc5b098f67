"""The command line, and the same in Python: what a person or a script that calls it relies on."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import yaml

import sensorium as api
from sensorium.cli.app import VERBS as ALL_VERBS
from tests.reviews import FEW, FIT, cells, measured, put, rows, sensorium, write

VERBS = ("fit", "evaluate", "predict", "demo")
PROBABILITIES = ["sentiment_probability_bad", "sentiment_probability_good"]


def only_json(text: str) -> dict[str, Any]:
    """The one JSON object that `text` is, without the NaN and Infinity that JSON does not have."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    assert text.count("\n") == 1 and text.endswith("}\n")
    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("verb", [one.__name__ for one in ALL_VERBS if one.__name__ != "demo"])
def test_a_verb_that_is_typed_alone_says_what_it_lacks(verb: str):
    said = sensorium(verb)
    assert said.code == 2 and said.out == "" and said.err.startswith("sensorium: ") and said.err.count("\n") == 1


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_has_an_example(verb: str):
    said = sensorium(f"{verb} --help")
    assert said.code == 0 and said.err == ""
    shown = " ".join(said.out.split())
    assert f"Example: sensorium {verb}" in shown
    assert "--out" in shown


def test_help_is_what_no_verb_gets():
    said = sensorium("")
    assert said.code == 0 and said.err == ""
    assert said.out.split() == sensorium("--help").out.split()
    assert all(f" {verb} " in said.out for verb in VERBS)


def test_version():
    assert sensorium("--version") == (0, f"sensorium {api.__version__}\n", "")


def test_a_fit_that_is_piped_prints_few_lines_and_draws_nothing(world: Path):
    said = sensorium(f"{FIT} --out runs/piped")
    assert said.code == 0
    assert "\x1b" not in said.out + said.err and "\r" not in said.out + said.err
    assert any(line.startswith("Training: epoch 1 of 1, loss ") for line in said.err.splitlines())
    assert all(line.startswith(("sensorium: ", "Training")) for line in said.err.splitlines())
    lines = said.out.splitlines()
    assert len(lines) <= 35 and max(len(line) for line in lines if "file://" not in line) <= 100
    assert lines[0].startswith("24 records of reviews.csv: sentiment (2 labels) from ")
    for shown in (
        "sentiment: ",
        "accuracy 0.",
        ", chance 0.",
        "What each input adds to accuracy",
        "  right  ",
        "  wrong  ",
    ):
        assert shown in said.out
    assert f"Report: file://{Path('runs/piped/report.html').resolve()}" in said.out
    assert lines[-1] == "Next: sensorium predict runs/piped reviews.csv --out predictions.csv"
    assert sensorium(lines[-1].removeprefix("Next: sensorium ")).code == 0


def test_details_are_all_tables_and_quiet_is_nothing(world: Path):
    said = sensorium(f"{FIT} --out runs/details --details")
    for shown in (
        "What the columns are",
        "24 of 24 values are paths ending in .png",
        "Shapley",
        "Saved in runs/details",
    ):
        assert shown in said.out
    quiet = sensorium(f"{FIT} --out runs/quiet --quiet")
    assert (quiet.code, quiet.out) == (0, "")


def test_json_is_all_that_is_printed(world: Path):
    fitted = only_json(sensorium(f"{FIT} --out runs/json --json").out)
    assert fitted["out"] == "runs/json"
    assert measured(fitted) == measured(json.loads(Path("runs/json/metrics.json").read_text()))
    evaluated = only_json(sensorium("evaluate runs/json reviews.csv --out scored --json").out)
    assert evaluated == json.loads(Path("scored/metrics.json").read_text())
    assert {"value", "low", "high", "chance"} == set(evaluated["targets"]["sentiment"]["accuracy"])
    assert {"metric", "review", "photo", "voice", "price"} == set(evaluated["inputs"]["sentiment"])
    predicted = only_json(sensorium("predict runs/json new.csv --out out.csv --json").out)
    assert predicted == {"out": "out.csv", "records": 4, "set_aside": 0, "bad_records": None}


def test_a_mistake_leaves_standard_output_empty_under_json(world: Path):
    said = sensorium("fit reviews.csv --target sentimnet --json")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("sensorium: ")


def test_a_run_holds_what_it_says(fitted: Path):
    held = {path.name for path in (fitted / "runs/reviews").iterdir()}
    assert {"model", "recipe.yaml", "metrics.json", "scores.parquet", "log.csv"} <= held
    assert "bad_records.csv" not in held


def test_the_recipe_of_a_run_repeats_it(world: Path):
    assert sensorium("fit --recipe runs/reviews/recipe.yaml --out runs/again").code == 0
    first, again = (json.loads(Path(f"runs/{run}/metrics.json").read_text()) for run in ("reviews", "again"))
    assert measured(first) == measured(again)
    same = [Path(f"runs/{run}/model/model.safetensors").read_bytes() for run in ("reviews", "again")]
    assert same[0] == same[1]


def test_options_lie_over_a_recipe_and_the_run_keeps_both(world: Path):
    put(
        "fit.yaml",
        "data:\n  path: reviews.csv\n  target: sentiment\ntraining:\n  epochs: 50\nfusion:\n  name: concat\n",
    )
    assert (
        sensorium(f"fit --recipe fit.yaml --encoder photo=vit,depth=1,width=64,heads=2 {FEW} --out runs/both").code == 0
    )
    kept = yaml.safe_load(Path("runs/both/recipe.yaml").read_text())
    assert kept["data"]["target"] == {"sentiment": None}
    assert (kept["training"]["epochs"], kept["fusion"]["name"]) == (1, "concat")
    assert kept["inputs"]["photo"]["encoder"] == "vit"
    assert kept["inputs"]["photo"]["config"] == {"depth": 1, "width": 64, "heads": 2}


def test_overwrite_replaces_a_run(world: Path):
    assert sensorium(f"{FIT} --out runs/reviews --overwrite --fusion concat").code == 0
    assert yaml.safe_load(Path("runs/reviews/recipe.yaml").read_text())["fusion"]["name"] == "concat"


def test_predictions_are_the_same_in_every_kind_of_file(world: Path):
    for kind in ("parquet", "csv", "jsonl"):
        said = sensorium(f"predict runs/reviews new.csv --out out/predictions.{kind}")
        assert (said.code, said.err) == (0, "")
        assert said.out == f"4 predictions in out/predictions.{kind}.\n"
    table = parquet.read_table("out/predictions.parquet")
    assert table.column_names == ["key", "sentiment", *PROBABILITIES, "absent"]
    found = table.to_pylist()
    assert [row["key"] for row in found] == ["1", "2", "3", "4"]
    assert all(row["sentiment"] in ("good", "bad") and row["absent"] == [] for row in found)
    assert all(sum(row[name] for name in PROBABILITIES) == pytest.approx(1, abs=1e-3) for row in found)
    assert [json.loads(line) for line in Path("out/predictions.jsonl").read_text().splitlines()] == found
    written = cells("out/predictions.csv")
    assert list(written[0]) == table.column_names
    assert [float(row[PROBABILITIES[0]]) for row in written] == pytest.approx([row[PROBABILITIES[0]] for row in found])


def test_every_kind_of_target_has_its_column(world: Path):
    tagged = [row | {"tags": ("toy|small", "lamp", "|")[number % 3]} for number, row in enumerate(rows(24))]
    write("tagged.csv", tagged)
    targets = "--target sentiment --target price=number --target tags"
    assert sensorium(f"fit tagged.csv {targets} --key review --column author=ignored --out runs/tagged {FEW}").code == 0
    assert sensorium("predict runs/tagged tagged.csv").code == 0
    table = parquet.read_table("predictions.parquet")
    tags = ["tags", "tags_probability_lamp", "tags_probability_small", "tags_probability_toy"]
    assert table.column_names == ["key", "sentiment", *PROBABILITIES, "price", *tags, "absent"]
    types = {name: table.schema.field(name).type for name in ("key", "sentiment", "price", "tags", "absent")}
    texts = pa.list_(pa.string())
    assert types == {
        "key": pa.string(),
        "sentiment": pa.string(),
        "price": pa.float64(),
        "tags": texts,
        "absent": texts,
    }
    assert table["key"].to_pylist() == [row["review"] for row in tagged]
    assert sensorium("predict runs/tagged tagged.csv --out out.csv").code == 0
    flat = [row["tags"] for row in cells("out.csv")]
    assert flat == ["|".join(one) for one in table["tags"].to_pylist()]


def test_ctrl_c_leaves_a_state_and_says_how_to_go_on(world: Path):
    state = Path("runs/stopped/last/position.json")

    def press() -> None:
        while not state.exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    endless = FIT.replace("--epochs 1", "--epochs 100000 --set patience=100000 --set checkpoint_seconds=0")
    said = sensorium(f"{endless} --out runs/stopped")
    assert said.code == 130
    sentence = said.err.splitlines()[-1]
    assert sentence.startswith("sensorium: Stopped after epoch ")
    assert sentence.endswith("the state is saved. Go on with: sensorium fit --resume --out runs/stopped")
    assert json.loads(state.read_text())["finished"] is False
    assert not Path("runs/stopped/model").exists()


def test_a_bug_is_a_traceback_and_exit_code_1(world: Path):
    bug = (
        "import sys, sensorium.cli, sensorium.inference.predict as room\n"
        "room.predict = lambda *given, **more: 1 / 0\n"
        "sys.argv = ['sensorium', 'predict', 'runs/reviews', 'new.csv']\n"
        "sensorium.cli.main()"
    )
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", bug], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}, timeout=120
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr and "ZeroDivisionError" in done.stderr


def test_the_same_in_python(world: Path, capsys: pytest.CaptureFixture[str]):
    table = api.read("reviews.csv", target="sentiment", group="author")
    assert "What the columns are" in capsys.readouterr().out
    train, test = table.split(0.7, seed=0)
    assert set(train.groups).isdisjoint(test.groups)
    run = api.fit(train, out="runs/python", epochs=1, batch_size=8, refit=False, workers=0, quiet=True)
    assert capsys.readouterr().out == ""
    assert run.folder == Path("runs/python")
    assert run.metrics["targets"]["sentiment"]["accuracy"]["chance"] is not None

    report = api.evaluate(run.model, test)
    assert "accuracy" in str(report)
    assert report.to_dict()["records"]["all"] == len(test)
    report.save("scored")
    assert json.loads(Path("scored/metrics.json").read_text()) == report.to_dict()

    model = api.load("runs/python")
    (one,) = model.predict([{"review": "lovely", "photo": "photos/1.png"}])
    assert one["absent"] == ["voice", "price"]
    assert set(one["sentiment"]) == {"decision", "probabilities"}
    assert set(one["sentiment"]["probabilities"]) == {"good", "bad"}
    pixels, samples = np.zeros((9, 9, 3), np.uint8), (np.zeros(800, np.float32), 8000)
    (decoded,) = model.predict([{"photo": pixels, "voice": samples, "price": 3}])
    assert decoded["absent"] == ["review"]
    assert model.predict([{"photo": Path("photos/1.png").read_bytes()}])[0]["absent"] == ["review", "voice", "price"]

    vectors = model.embed([{"photo": "photos/1.png"}, {"review": "no photo"}], "photo")
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 0], abs=1e-5)
    assert [column.kind for column in model.schema.columns] == ["text", "image", "audio", "number", "group", "target"]


def test_a_run_and_its_loaded_model_predict_alike(world: Path):
    run = api.fit("reviews.csv", target="sentiment", out="runs/twin", epochs=1, refit=False, workers=0, quiet=True)
    assert (
        run.model.predict(rows(3))
        == api.load("runs/twin").predict(rows(3))
        == api.load("runs/twin/model").predict(rows(3))
    )


def test_ctrl_c_in_a_verb_that_cannot_go_on_promises_nothing(world: Path, monkeypatch):
    def press(*_, **__) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sensorium.evaluation.evaluate.evaluate", press)
    said = sensorium("evaluate runs/reviews reviews.csv")
    assert (said.code, said.err) == (130, "sensorium: Stopped.\n")


def test_a_recipe_in_another_order_is_the_same_recipe(world: Path):
    ignored = "--column author=ignored --column photo=ignored --column voice=ignored"
    fit = f"fit reviews.csv --target sentiment --target price {ignored} --seed 3 {FEW} --out runs/both"
    assert sensorium(fit).code == 0
    before = Path("runs/both/model/model.safetensors").read_bytes()
    recipe = yaml.safe_load(Path("runs/both/recipe.yaml").read_text())
    put("other.yaml", "# written anew\n" + yaml.safe_dump(turned(recipe), sort_keys=False))
    said = sensorium("fit reviews.csv --recipe other.yaml --resume --out runs/both")
    assert said.code == 0, said.err
    assert Path("runs/both/model/model.safetensors").read_bytes() == before


def turned(settings: dict) -> dict:
    """The same settings, the last one first."""
    return {key: turned(one) if isinstance(one, dict) else one for key, one in reversed(settings.items())}
