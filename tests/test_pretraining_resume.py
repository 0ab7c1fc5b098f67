"""`pretrain` killed and resumed, whole batches and batches in pieces: the same outcome as undisturbed."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import timm
import torch
from safetensors.torch import save_file

from tests.journeys import Journey, check_same
from tests.pretraining import pairs


def three_inputs(folder: Path) -> dict[str, Any]:
    """Pictures with patch dropout, the same through a frozen encoder with a cache, texts that lose tokens; some absent.

    With these all chance there is: of the loader, of the model, of the encoders.
    """
    table = pd.read_csv(pairs(folder))
    table["thumb"] = table["photo"]
    table.loc[::5, "caption"], table.loc[::7, "thumb"] = None, None
    table.to_csv(folder / "three.csv", index=False)
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), folder / "weights.safetensors")
    frozen = {"model": "test_resnet", "weights": str(folder / "weights.safetensors"), "size": 16}
    return {
        "family": "clip",
        "records": folder / "three.csv",
        "recipe": {
            "data": {"inputs": ["photo", "thumb", "caption"], "columns": {"caption": "text"}, "test": 0.2},
            "inputs": {
                "photo": {
                    "encoder": "clip_image",
                    "config": {"size": 16, "patch": 4, "width": 32, "depth": 1, "heads": 2, "patch_dropout": 0.5},
                },
                "thumb": {"encoder": "timm", "config": frozen},
                "caption": {
                    "encoder": "clip_text",
                    "config": {"width": 32, "depth": 1, "heads": 2, "augmentation": {"rate": 0.2}},
                },
            },
            "training": {"epochs": 3, "batch_size": 16, "checkpoint_seconds": 0.0, "workers": 0},
        },
    }


@pytest.fixture(scope="module")
def worlds(tmp_path_factory) -> Callable[[int], tuple[dict[str, Any], Path]]:
    """By the number of pieces: the arguments of a run, and the folder of one that nobody killed."""

    @cache
    def made(pieces: int) -> tuple[dict[str, Any], Path]:
        folder = tmp_path_factory.mktemp("pretraining")
        arguments = three_inputs(folder)
        arguments["recipe"]["training"]["pieces"] = pieces
        journey = Journey(folder / "run", arguments)
        said = {stage for _, stage in journey.finish()}
        assert journey.process.exitcode == 0
        assert {"cache", "training", "checkpoint", "evaluation", "saving"} <= said
        return arguments, folder / "run"

    return made


@pytest.mark.parametrize(
    ("pieces", "stage", "time"), [(1, "cache", 2), (1, "training", 5), (2, "training", 13), (2, "saving", 1)]
)
def test_killed_and_resumed_it_ends_in_the_same_bits(worlds, tmp_path, pieces, stage, time):
    arguments, whole = worlds(pieces)
    journey = Journey(tmp_path / "run", arguments)
    for _ in range(time):
        while journey.said()[1] != stage:
            pass
    journey.kill()
    assert not (tmp_path / "run" / "metrics.json").exists()
    resumed = Journey(tmp_path / "run", arguments, resume=True)
    resumed.finish()
    assert resumed.process.exitcode == 0
    check_same(whole, tmp_path / "run", f"in {pieces} pieces, killed in {stage} {time}")


def test_a_florence_killed_and_resumed_ends_in_the_same_bits(tmp_path):
    """In pieces, with texts and labels that lose tokens; some records lack a caption, some a class."""
    arguments = three_inputs(tmp_path) | {"family": "florence"}
    table = pd.read_csv(tmp_path / "three.csv")
    table["shade"] = table["photo"].str.split("-").str[0]
    table.loc[::6, "shade"] = None
    table.to_csv(tmp_path / "three.csv", index=False)
    arguments["recipe"]["data"]["inputs"] = ["photo", "caption"]
    arguments["recipe"]["family"] = {"labels": "shade"}
    arguments["recipe"]["training"]["pieces"] = 2
    del arguments["recipe"]["inputs"]["thumb"]
    Journey(tmp_path / "whole", arguments).finish()
    journey = Journey(tmp_path / "run", arguments)
    for _ in range(5):
        while journey.said()[1] != "training":
            pass
    journey.kill()
    resumed = Journey(tmp_path / "run", arguments, resume=True)
    resumed.finish()
    assert resumed.process.exitcode == 0
    check_same(tmp_path / "whole", tmp_path / "run", "florence, killed in training")
