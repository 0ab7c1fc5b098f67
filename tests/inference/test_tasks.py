"""Tasks of a Florence-2 with random weights: what is asked, what is written in pixels, and bad input."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import sensorium
from sensorium.cli.app import app
from sensorium.errors import UserError
from sensorium.families.checkpoints import convert
from sensorium.families.florence import florence
from sensorium.families.florence_tasks import TASKS
from sensorium.inference.tasks import print_answers
from sensorium.model import Model
from tests.florence_scenes import BOS, folder_of, picture, published

SIZES = {"wide.png": (80, 30), "tall.png": (20, 90), "small.png": (5, 5)}
CAR = "car<loc_100><loc_200><loc_300><loc_400>ein Löwe 獅子<loc_0><loc_0><loc_999><loc_999>"
CAR += "x<loc_900><loc_0><loc_1><loc_2>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    for number, (name, (width, height)) in enumerate(SIZES.items()):
        Image.fromarray(picture(number, height, width)).save(folder / name)
    convert(folder_of(published(), folder / "published"), folder / "florence")
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return florence(folder / "published")


def files(folder: Path) -> list[Path]:
    return [folder / name for name in SIZES]


def length(model: Model, text: str) -> int:
    return len(model.heads["text"].processor(text)) - 1


@pytest.mark.filterwarnings("ignore:.*says nothing")
def test_each_picture_is_encoded_once_and_a_batch_changes_nothing(model, folder, monkeypatch):
    counts = []
    forward = type(model.encoders["image"]).forward
    monkeypatch.setattr(
        type(model.encoders["image"]), "forward",
        lambda encoder, inputs: counts.append(len(inputs["mask"])) or forward(encoder, inputs),
    )  # fmt: skip
    tasks = list(TASKS)
    options = {"phrase": "a dog", "region": (1, 1, 4, 4), "max_tokens": 12}
    together = sensorium.write(model, files(folder), task=tasks, **options)
    assert sum(counts) == len(SIZES)
    assert list(together["task"]) == tasks * 3 and together["text"].nunique() > 5
    for row, task in enumerate(tasks[:6]):
        takes = {name: options[name] for name in ("phrase", "region") if name == TASKS[task].takes}
        alone = sensorium.write(model, files(folder)[:1], task=task, max_tokens=12, **takes).iloc[0]
        assert alone["text"] == together.iloc[row]["text"] and alone["boxes"] == together.iloc[row]["boxes"]
        assert alone["text_probability"] == pytest.approx(together.iloc[row]["text_probability"], rel=1e-3)


@pytest.mark.filterwarnings("ignore:1 place could not|3 places could not")
def test_places_are_in_the_pixels_of_each_picture_with_labels_of_any_script(model, folder, tmp_path):
    options = {"task": "detect", "forced": CAR, "max_tokens": length(model, CAR)}
    frame = sensorium.write(model, files(folder), **options)
    for (_, row), (width, height) in zip(frame.iterrows(), SIZES.values(), strict=True):
        assert (row["width"], row["height"]) == (width, height)
        car, lion = row["boxes"]
        expected = np.array([0.1005, 0.2005, 0.3005, 0.4005]) * [width, height, width, height]
        assert car["label"] == "car" and car["box"] == pytest.approx(expected, abs=0.0051)
        assert lion["label"] == "ein Löwe 獅子" and 0 < lion["score"] < 1 and 0 < lion["label_score"] < 1
    sensorium.write(model, files(folder), tmp_path / "boxes.json", **options)
    described = json.loads((tmp_path / "boxes.json").read_text(encoding="utf-8"))
    assert [(each["task"], each["boxes"]) for each in described] == [("detect", boxes) for boxes in frame["boxes"]]
    sensorium.write(model, files(folder), tmp_path / "boxes.csv", **options)
    cells = pd.read_csv(tmp_path / "boxes.csv")["boxes"]
    assert [json.loads(cell) for cell in cells] == list(frame["boxes"])
    sensorium.write(model, files(folder), draw=tmp_path / "drawn", **options)
    before, after = (np.array(Image.open(each / "wide.png").convert("RGB")) for each in (folder, tmp_path / "drawn"))
    scale = after.shape[0] // before.shape[0]
    x, y = (int(scale * number) for number in frame["boxes"].iloc[0][0]["box"][:2])
    assert after.shape == (scale * 30, scale * 80, 3) and (after[y + 5, x] != before[y // scale, x // scale]).any()
    confidences = [math.sqrt(place["score"] * place["label_score"]) for place in frame["boxes"].iloc[0]]
    surer = sensorium.write(model, files(folder)[:1], least=np.mean(confidences), **options)["boxes"].iloc[0]
    assert [place["label"] for place in surer] == [["car", "ein Löwe 獅子"][int(np.argmax(confidences))]]


@pytest.mark.filterwarnings("ignore:.*place")
def test_quads_polygons_and_a_region_of_the_picture(model, folder, monkeypatch):
    quad = "STOP<loc_0><loc_10><loc_500><loc_20><loc_490><loc_60><loc_3><loc_70>"
    (row,) = sensorium.write(
        model, files(folder)[:1], task="read with regions", forced=quad, max_tokens=length(model, quad)
    )["boxes"]
    assert row[0]["label"] == "STOP" and len(row[0]["quad"]) == 8 and row[0]["quad"][0] == pytest.approx(0.04, abs=0.01)
    lines = "<loc_0><loc_10><loc_500><loc_20><loc_490><loc_60><sep><loc_0><loc_1><loc_5><loc_2><loc_4><loc_6>"
    (row,) = sensorium.write(
        model, files(folder)[:1], task="segment", phrase=" the dog", forced=lines, max_tokens=length(model, lines)
    )["boxes"]
    assert [(place["label"], len(place["polygon"])) for place in row] == [("the dog", 6), ("the dog", 6)]
    texts = []
    processor = model.encoders["prompt"].processor
    monkeypatch.setattr(type(processor), "__call__", spying(type(processor).__call__, texts))
    sensorium.write(model, files(folder)[:1], task="region to text", region="8,3,40.5,99", max_tokens=3)
    assert texts == ["What text is in the region <loc_100><loc_100><loc_506><loc_999>?"]


def spying(call: Any, texts: list[str]) -> Any:
    def spy(processor: Any, value: str, augment: bool = False) -> Any:
        texts.append(value)
        return call(processor, value, augment)

    return spy


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"task": "detekt"}, "no task 'detekt'.*detect"),
        ({"task": "ground"}, "'ground' needs a phrase.*--phrase"),
        ({"task": ["detect", "ground"], "phrase": " "}, "needs a phrase"),
        ({"task": "region to text"}, "needs a region.*--region"),
        ({"task": "detect", "phrase": "a dog"}, "No phrase is taken by detect.*ground, open"),
        ({"task": "region to text", "region": "1,2,3"}, "not x0,y0,x1,y1"),
        ({"task": "region to text", "region": (5, 0, 1, 4)}, "not x0,y0,x1,y1"),
        ({"task": "region to text", "region": "0,0,inf,inf"}, "not x0,y0,x1,y1"),
        ({"task": "ground", "phrase": 5}, "is no text"),
        ({"task": "region to text", "region": "500,0,600,4"}, "beyond the picture .*, of 80 by 30"),
        ({"task": "ground", "phrase": "a dog " * 99}, "longer than the model reads"),
        ({"draw": "drawn.png"}, "state a task"),
        ({}, r"state a task \(caption, detailed caption.*column 'prompt'"),
        ({"task": "detect", "timestamps": True}, "of a Whisper"),
        ({"task": "detect", "best": 2, "beams": 2}, "one text"),
        ({"task": "detect", "stream": print}, "comes whole"),
        ({"task": "detect", "out": "boxes.xml"}, "of no known kind"),
        ({"task": "caption", "draw": "drawn.png", "max_tokens": 2}, "None of these tasks gives places"),
    ],
)
def test_what_cannot_be_asked_is_said(model, folder, options, sentence):
    with pytest.raises(UserError, match=sentence):
        sensorium.write(model, files(folder)[:1], **options)


def test_an_absent_picture_is_printed_without_a_text(model, folder, capsys):
    records = pd.DataFrame({"image": [str(files(folder)[0]), None]})
    print_answers(sensorium.write(model, records, task=["caption", "detect"], max_tokens=2))
    assert capsys.readouterr().out.splitlines()[-2:] == ["2 (caption): ", "2 (detect): "]


def test_texts_that_say_nothing_are_said(model, folder):
    with pytest.warns(UserWarning, match=r"1 of 1 text says nothing or loops, first of all that of .*wide.png"):
        sensorium.write(model, files(folder)[:1], task="caption", forced=(BOS,) * 6, max_tokens=6)
    with pytest.warns(UserWarning, match="says nothing or loops"):
        sensorium.write(model, files(folder)[:1], task="detect", forced="ha" * 60, max_tokens=120)
    with pytest.warns(UserWarning, match="could not be read: 1 place"):
        inverted = "car<loc_5><loc_5><loc_1><loc_1>sky<loc_1><loc_1><loc_5><loc_5>"
        options = {"forced": inverted, "max_tokens": length(model, inverted)}
        sensorium.write(model, files(folder)[:1], task="detect", **options)


@pytest.mark.filterwarnings("ignore:.*says nothing")
def test_absent_and_broken_pictures(model, folder, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"none")
    table = pd.DataFrame(
        {"image": [str(folder / "wide.png"), None, str(tmp_path / "broken.png")]}, index=["a", "b", "c"]
    )
    with pytest.warns(UserWarning, match="1 of 3 records left out"):
        frame = sensorium.write(model, table, task=["caption", "detect"], max_tokens=6)
    assert list(frame.index) == ["a", "a", "b", "b"] and frame["text"].isna().tolist() == [False, False, True, True]
    with pytest.warns(UserWarning, match="taken as absent"):
        kept = sensorium.write(model, table, task="caption", max_tokens=6, bad_records="absent")
    assert kept["text"].isna().tolist() == [False, True, True]
    # A row without picture or prompt is decided on like any other, and is no NaN.
    written = sensorium.write(model, table.iloc[:2].assign(prompt=["caption", None]), max_tokens=6)
    assert written["text_probability"].notna().all() and written["absent"].tolist() == [[], ["image", "prompt"]]
    full = table.iloc[:1].assign(prompt="What does the image describe?")
    assert (
        sensorium.write(model, full, max_tokens=6)["text"].iloc[0] == written["text"].iloc[0] == frame["text"].iloc[0]
    )


@pytest.mark.filterwarnings("ignore:.*")
def test_the_command(folder, tmp_path):
    command = ["write", str(folder / "florence"), *map(str, files(folder)[:2]), "--max-tokens", "8"]
    result = CliRunner().invoke(app, [*command, "--task", "caption", "--task", "ground", "--phrase", "a dog"])
    assert result.exit_code == 0 and "wide.png (caption): " in result.output and "tall.png (ground): " in result.output
    result = CliRunner().invoke(app, [*command, "--task", "detect", "--out", str(tmp_path / "boxes.json")])
    assert result.exit_code == 0 and len(json.loads((tmp_path / "boxes.json").read_text())) == 2


def test_noise_where_a_picture_is_absent_changes_nothing(model):
    encoder = model.encoders["image"]
    batch = encoder.processor.pad([encoder.processor(picture()), None])
    noisy = batch | {"pixels": batch["pixels"].clone()}
    noisy["pixels"][1] = 77
    read = model.encoders["prompt"].processor
    prompts = read.pad([None, read("detect")])
    with torch.no_grad():
        first, second = (model.fuse(model.encode({"image": each, "prompt": prompts})) for each in (batch, noisy))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True)) and first.tokens.isfinite().all()
