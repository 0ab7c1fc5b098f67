"""kill -9 at any moment, then --resume: the same bits as an undisturbed run, nothing left over, nobody left running."""

import copy
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sensorium.errors import UserError
from sensorium.runs.run import fit
from tests.journeys import Journey, check_same, left_running, make, outcome, wait_for

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc, which this system has not")

Said = list[tuple[float, str]]


@pytest.fixture(scope="module")
def arguments(tmp_path_factory) -> dict[str, Any]:
    return make(tmp_path_factory.mktemp("records"), records=160)


@pytest.fixture(scope="module")
def undisturbed(arguments, tmp_path_factory) -> dict[int, tuple[Path, Said]]:
    """By number of workers: the folder of a run that nobody killed, and what it said when."""
    done = {}
    for workers in (0, 2):
        out = tmp_path_factory.mktemp("undisturbed") / "run"
        journey = Journey(out, with_workers(arguments, workers))
        done[workers] = out, journey.finish()
        assert journey.process.exitcode == 0
    return done


def with_workers(arguments: dict[str, Any], workers: int) -> dict[str, Any]:
    changed = copy.deepcopy(arguments)
    changed["recipe"]["training"]["workers"] = workers
    return changed


def kill(
    out: Path, arguments: dict[str, Any], said: list[tuple[float, str]], chance: random.Random, resume: bool
) -> str:
    """Starts a run, kills it at a random moment, and gives the stage it was in.

    Every stage is as likely; within it, one of the things that the undisturbed run `said`, and some part of the time
    till the next.
    """
    stage = chance.choice(sorted({stage for _, stage in said}))
    place = chance.choice([index for index, (_, one) in enumerate(said) if one == stage])
    until = said[place + 1][0] if place + 1 < len(said) else said[place][0] + 0.1
    journey = Journey(out, arguments, resume)
    heard = [journey.said() for _ in range(place + 1)]
    time.sleep(chance.random() * (until - said[place][0]))
    journey.kill()
    heard += journey.finish()
    wait_for(lambda: not left_running(journey.process.pid), "workers outlive the run that was killed")
    return "nothing, it had ended" if heard[-1] is None else heard[-1][1]


def check(runs: int, workers: int, seed: int, arguments, undisturbed, tmp_path) -> Counter:
    """So many runs, each killed once or, one in three, again, then resumed to its end; gives what was hit how often."""
    arguments, chance = with_workers(arguments, workers), random.Random(seed)
    whole, said = undisturbed[workers]
    hit: Counter = Counter()
    for number in range(runs):
        out, stages = tmp_path / str(number), []
        while not stages or chance.random() < 1 / 3:
            stages.append(kill(out, arguments, said, chance, resume=bool(stages)))
        hit.update(stages)
        resumed = Journey(out, arguments, resume=True)
        resumed.finish()
        assert resumed.process.exitcode == 0, (number, stages)
        check_same(whole, out, f"run {number}, killed in {stages}")
    print(f"{workers} workers: killed in {dict(hit)}")
    return hit


def test_workers_change_no_bit(undisturbed):
    one, two = (outcome(folder) for folder, _ in undisturbed.values())
    assert one.pop("recipe.yaml") != two.pop("recipe.yaml")  # which says how many workers
    assert one == two


@pytest.mark.parametrize(("workers", "runs"), [(0, 2), (2, 1)])
def test_a_few_kills(workers, runs, arguments, undisturbed, tmp_path):
    check(runs, workers, 1, arguments, undisturbed, tmp_path)


def killed_while_caching(out: Path, arguments: dict[str, Any]) -> None:
    journey = Journey(out, arguments)
    while journey.said()[1] != "cache":
        pass
    journey.kill()
    journey.finish()


def test_a_killed_run_is_not_resumed_with_other_settings(arguments, tmp_path):
    out = tmp_path / "run"
    killed_while_caching(out, arguments)
    assert not (out / "last").exists()
    with pytest.raises(UserError, match="not those that the run in"):
        fit(**arguments, out=out, resume=True, quiet=True, epochs=7)


def test_a_killed_run_is_replaced(arguments, undisturbed, tmp_path):
    out = tmp_path / "run"
    other = copy.deepcopy(arguments)
    other["recipe"]["seed"] = 1
    killed_while_caching(out, other)
    again = Journey(out, arguments | {"overwrite": True})
    again.finish()
    assert again.process.exitcode == 0
    check_same(undisturbed[0][0], out, "replaced")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_fifty_kills(workers, arguments, undisturbed, tmp_path):
    hit = check(25, workers, 2 + workers, arguments, undisturbed, tmp_path)
    assert len(hit) >= 6, hit  # of the stages
