"""Runs, an index and a stopped run of commit 34915b2 are loaded, scored, searched and gone on with as they were."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests import old_runs
from tests.reviews import sensorium

WITHIN = 1e-4  # of every figure: weights are float32, and processors sum in different orders


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return json.loads((old_runs.FOLDER / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture
def world(tmp_path, monkeypatch) -> Path:
    """A copy of the old runs, which is the working folder of the test."""
    folder = tmp_path / "world"
    shutil.copytree(old_runs.FOLDER, folder)
    monkeypatch.chdir(folder)
    return folder


def differences(actual: Any, expected: Any, where: str = "") -> list[str]:
    """What of `expected` is another thing in `actual`, which may hold more names."""
    if isinstance(expected, dict):
        missing = [f"{where} lacks {name}" for name in expected if name not in actual]
        shared = [name for name in expected if name in actual]
        return missing + [
            line for name in shared for line in differences(actual[name], expected[name], f"{where} {name}")
        ]
    if isinstance(expected, list):
        if len(actual) != len(expected):
            return [f"{where} has {len(actual)} entries, not {len(expected)}"]
        pairs = enumerate(zip(actual, expected, strict=True))
        return [line for index, (mine, theirs) in pairs for line in differences(mine, theirs, f"{where} {index}")]
    if isinstance(expected, float):
        same = isinstance(actual, int | float) and actual == pytest.approx(expected, rel=0, abs=WITHIN, nan_ok=True)
    else:
        same = actual == expected
    return [] if same else [f"{where} is {actual!r}, not {expected!r}"]


def without_intervals(figures: Any) -> Any:
    """Saved figures without what is made in another way since: intervals, and one metric that was in it twice."""
    if not isinstance(figures, dict):
        return figures
    return {
        name: without_intervals(entry) for name, entry in figures.items() if name not in ("low", "high", "f1_micro")
    }


@pytest.mark.parametrize("run", old_runs.FITS)
def test_a_fit_scores_and_predicts_as_it_did(world, expected, run):
    assert not differences(old_runs.fit_figures(run), expected[run])


@pytest.mark.parametrize("run", old_runs.PRETRAINED)
def test_a_pretrained_run_finds_and_embeds_as_it_did(world, expected, run):
    assert not differences(old_runs.pretrained_figures(run), expected[run])


def test_the_command_line_scores_a_fit_as_it_did(world, expected):
    answer = sensorium("evaluate hybrid records.csv --json")
    assert answer.code == 0, answer.err
    assert not differences(json.loads(answer.out)["targets"], expected["hybrid"]["metrics"])


def test_a_report_is_drawn_of_an_old_run(world):
    answer = sensorium("report hybrid")
    assert answer.code == 0, answer.err
    assert "balanced accuracy" in (world / "hybrid" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("search", old_runs.SEARCHES)
def test_an_index_gives_what_it_gave(world, expected, search):
    pytest.importorskip("lancedb")
    hits = old_runs.hits(search)
    assert hits.keys() == expected["search"][search].keys()
    assert not differences(hits, expected["search"][search])


def test_an_epoch_more_begins_with_the_old_teacher_and_queue(world, expected):
    assert not differences(old_runs.losses_of_more("more"), expected["more"])


def test_a_stopped_run_goes_on_to_the_figures_of_one_that_was_not_stopped(world):
    """It stood in its third epoch of five, before the second training on all records. `hybrid` is the same run, not
    stopped. Nothing is dropped out and all other chance is drawn alike everywhere, so its figures hold on any machine;
    that bits are the same, on one machine, is what benchmarks/old_runs.py shows.
    """
    before = old_runs.log("stopped")
    assert len(before) == 2
    answer = sensorium("fit --resume --out stopped")
    assert answer.code == 0, answer.err
    assert "Training goes on from epoch 3, step 1." in answer.out
    assert old_runs.log("stopped")[:2] == before
    assert not differences(old_runs.log("stopped"), old_runs.log("hybrid"))
    assert not differences(old_runs.untimed("stopped"), without_intervals(old_runs.untimed("hybrid")))
    assert not (world / "stopped" / "start").exists()


def test_an_old_recipe_gives_the_run_again(world):
    answer = sensorium("fit --recipe hybrid/recipe.yaml --out again")
    assert answer.code == 0, answer.err
    assert not differences(old_runs.untimed("again"), without_intervals(old_runs.untimed("hybrid")))
