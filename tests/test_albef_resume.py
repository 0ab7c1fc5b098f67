"""`pretrain albef` killed and resumed, whole batches and batches in pieces: the same outcome, teacher and queue too."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.journeys import Journey, check_same
from tests.pretraining import pairs


def arguments(folder: Path, pieces: int) -> dict[str, Any]:
    """All chance there is: crops, patches and words left out, masked words, dropout, drawn negatives; some absent."""
    table = pd.read_csv(pairs(folder))
    table.loc[::5, "caption"], table.loc[3::7, "photo"] = None, None
    table.to_csv(folder / "gaps.csv", index=False)
    picture = {"size": 16, "patch": 4, "width": 32, "depth": 1, "heads": 2, "patch_dropout": 0.5}
    text = {"width": 32, "depth": 1, "heads": 2, "augmentation": {"rate": 0.2}}
    return {
        "family": "albef",
        "records": folder / "gaps.csv",
        "image": "photo",
        "text": "caption",
        "recipe": {
            "data": {"test": 0.2},
            "inputs": {"photo": {"config": picture}, "caption": {"config": text}},
            "family": {"queue": 24},
            "training": {
                "epochs": 3, "batch_size": 16, "pieces": pieces, "checkpoint_seconds": 0.0, "workers": 0,
            },
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def worlds(tmp_path_factory) -> Callable[[int], tuple[dict[str, Any], Path]]:
    """By the number of pieces: the arguments of a run, and the folder of one that nobody killed."""

    @cache
    def made(pieces: int) -> tuple[dict[str, Any], Path]:
        folder = tmp_path_factory.mktemp("albef")
        given = arguments(folder, pieces)
        journey = Journey(folder / "run", given)
        journey.finish()
        assert journey.process.exitcode == 0
        return given, folder / "run"

    return made


@pytest.mark.parametrize(("pieces", "stage", "time"), [(1, "training", 5), (2, "training", 9), (2, "saving", 1)])
def test_killed_and_resumed_it_ends_in_the_same_bits(worlds, tmp_path, pieces, stage, time):
    given, whole = worlds(pieces)
    assert (whole / "model" / "objectives.safetensors").exists()
    journey = Journey(tmp_path / "run", given)
    for _ in range(time):
        while journey.said()[1] != stage:
            pass
    journey.kill()
    assert not (tmp_path / "run" / "metrics.json").exists()
    resumed = Journey(tmp_path / "run", given, resume=True)
    resumed.finish()
    assert resumed.process.exitcode == 0
    check_same(whole, tmp_path / "run", f"in {pieces} pieces, killed in {stage} {time}")
