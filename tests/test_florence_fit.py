"""A Florence-2 of random weights that goes on with a table of its own: texts and places, at prompts."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

import sensorium
from sensorium.families.checkpoints import convert
from sensorium.model import load
from tests.florence_scenes import folder_of, picture, published


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, a table of what is written of them at a task and at an own prompt, and a converted model."""
    folder = tmp_path_factory.mktemp("fit")
    rows = []
    for number in range(24):
        Image.fromarray(picture(number)).save(folder / f"{number}.png")
        prompt, text = ("detect", f"blot<loc_{number}><loc_2><loc_500><loc_600>"), ("How dark?", "so dark")
        rows.append([f"{number}.png", *(prompt if number % 2 else text)])
    pd.DataFrame(rows, columns=["image", "prompt", "text"]).to_csv(folder / "table.csv", index=False)
    convert(folder_of(published(), folder / "published"), folder / "florence")
    return folder


def test_a_converted_model_goes_on_and_stays_a_florence(world: Path, tmp_path: Path):
    run = sensorium.fit(
        world / "table.csv", target={"text": "text"}, start_from=world / "florence", out=tmp_path / "run",
        epochs=2, batch_size=4, learning_rate=0.003, quiet=True,
    )  # fmt: skip
    before, after = load(world / "florence"), load(tmp_path / "run")
    moved = {
        name.split(".")[0] for name, weight in after.state_dict().items()
        if not torch.equal(weight, before.state_dict()[name])
    }  # fmt: skip
    assert moved == {"fusion", "heads"}  # what reads pictures and words stays, as it is pretrained
    assert run.metrics["targets"]["text"]
    written = sensorium.write(tmp_path / "run", [world / "1.png"], task="detect", max_tokens=6)
    assert isinstance(written["boxes"].iloc[0], list)
    convert(tmp_path / "run", tmp_path / "published", to="transformers")
    convert(tmp_path / "published", tmp_path / "again")
    assert all(torch.equal(load(tmp_path / "again").state_dict()[n], w) for n, w in after.state_dict().items())
