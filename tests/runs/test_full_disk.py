"""A real disk that is full: one sentence, exit code 2, nothing half-written, and an earlier state still loads."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sensorium
from sensorium.errors import UserError

ROOT = Path(__file__).parents[2]
BLOCK = 4096  # bytes
REFUSED = "No space left on device; make room or choose another place."


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A file system of 8 MB in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a small disk: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def records(tmp_path) -> Path:
    generator = np.random.default_rng(0)
    numbers = generator.normal(size=(80, 2))
    table = pd.DataFrame({"a": numbers[:, 0], "b": numbers[:, 1], "kind": np.where(numbers[:, 0] > 0, "up", "down")})
    table.to_csv(tmp_path / "records.csv", index=False)
    return tmp_path / "records.csv"


def fill(disk: Path, leave: int) -> None:
    """Leaves so many bytes of the disk."""
    free = os.statvfs(disk).f_bavail * BLOCK
    (disk / "filler").write_bytes(bytes(free - leave))


def fit(records: Path, out: Path, **options) -> None:
    sensorium.fit(records, out, target="kind", epochs=2, checkpoint_seconds=0.0, quiet=True, **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("*.safetensors")}


def test_the_command_line_says_so_in_one_sentence(disk, records):
    fill(disk, leave=0)
    out = disk / "run"
    done = subprocess.run(
        [sys.executable, "-m", "sensorium.cli", "fit", str(records), "--target", "kind", "--out", str(out)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"sensorium: Cannot write {out}") and done.stderr.count("\n") == 1
    assert done.stderr.endswith(f"{REFUSED}\n")


def test_a_disk_that_fills_up_at_any_stage_leaves_nothing_half_written(disk, records, tmp_path):
    whole, out = tmp_path / "whole", disk / "run"
    fit(records, whole)
    model = (whole / "model" / "model.safetensors").stat().st_size
    stages = set()
    for leave in (0, 3 * BLOCK, model + 4 * BLOCK, 3 * model, 5 * model):
        fill(disk, leave)
        with pytest.raises(UserError, match=REFUSED) as refused:
            fit(records, out, resume=True)
        stages.add(str(refused.value).split(":")[0])
        assert not list(out.rglob(".*"))
        (disk / "filler").unlink()
    assert len(stages) >= 3, stages
    fit(records, out, resume=True)
    assert contents(out / "last") == contents(whole / "last")
    assert contents(out / "model") == contents(whole / "model")


def test_an_earlier_model_still_loads(disk, records):
    out = disk / "run"
    fit(records, out)
    before = contents(out / "model")
    fill(disk, leave=0)
    with pytest.raises(UserError, match=REFUSED):
        fit(records, out, resume=True)
    assert contents(out / "model") == before
    assert sensorium.load(out).predict([{"a": 1.0, "b": 0.0}])[0]["kind"]["decision"] in ("up", "down")
