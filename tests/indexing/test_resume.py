"""A build that is killed or stopped goes on with the same command, and ends where an undisturbed one ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sensorium.indexing import Index
from sensorium.indexing.store import Store
from tests import reviews
from tests.indexing import shop

COMMAND = "index runs/pairs wares.csv --key sku --out shop.lance"
# Says after each commit that it is there, and goes on only after a while: what follows may hit it anywhere.
SLOW = """
import sys, time
from sensorium.cli import main
from sensorium.indexing import building
from sensorium.indexing import embedding
from sensorium.indexing.store import Store
building._COMMIT_ROWS = embedding.BATCH = 4
add = Store.add
def slow(store, rows):
    add(store, rows)
    print("committed", flush=True)
    time.sleep(0.2)
Store.add = slow
sys.argv = ["sensorium", *sys.argv[1:]]
main()
"""


def rows(path: str) -> list[dict]:
    return sorted(Store.open(Path(path)).table.to_arrow().to_pylist(), key=lambda row: row["key"])


def stopped(number: int) -> int:
    """Starts a build, sends it the signal after its third commit, and gives its exit code."""
    arguments = [sys.executable, "-c", SLOW, *COMMAND.split()]
    paths = {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=os.environ | paths, text=True) as process:
        heard = 0
        for line in process.stdout:
            heard += line == "committed\n"
            if heard == 3:
                process.send_signal(number)
                break
        process.communicate(timeout=60)
    return process.returncode


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_a_stopped_build_goes_on(number, code, here):
    assert stopped(number) == code
    done = [row["key"] for row in rows("shop.lance")]
    assert 12 <= len(done) < 30
    assert reviews.sensorium('search shop.lance "a red shoe"').err == (
        "sensorium: shop.lance is not finished; give the 'sensorium index' command that began it again.\n"
    )
    again = reviews.sensorium(COMMAND)
    assert again.code == 0, again.err
    assert f"30 records in shop.lance, {30 - len(done)} of them embedded now." in again.out
    assert reviews.sensorium(COMMAND.replace("shop.lance", "undisturbed.lance")).code == 0
    assert rows("shop.lance") == rows("undisturbed.lance")
    assert Index.open("shop.lance").store.state == Index.open("undisturbed.lance").store.state


@pytest.fixture
def unfinished(here: Path) -> Path:
    """An index that a build left before its end."""
    assert reviews.sensorium(COMMAND).code == 0
    store = Store.open(Path("shop.lance"))
    store.delete("stock >= 12")
    store.write_state(finished=False)
    return here


def test_an_unfinished_index_is_not_mixed_with_another(unfinished):
    for other in (COMMAND.replace("runs/pairs", "runs/other"), COMMAND.replace("--key sku ", "")):
        said = reviews.sensorium(other)
        assert said.code == 2
        assert "shop.lance is the unfinished index of something else" in said.err
    assert reviews.sensorium(f"{COMMAND} --overwrite").code == 0
    assert len(rows("shop.lance")) == 30


def test_what_a_kill_left_before_the_first_commit_is_replaced(here):
    Path("shop.lance/_versions").mkdir(parents=True)
    Path("shop.lance/data").mkdir()
    assert reviews.sensorium(COMMAND).code == 0
    assert len(rows("shop.lance")) == 30


def test_a_folder_that_is_no_index_is_not_replaced(here):
    Path("shop.lance").mkdir()
    Path("shop.lance/thesis.txt").write_text("mine")
    for command in (COMMAND, f"{COMMAND} --overwrite"):
        assert reviews.sensorium(command).code == 2
    assert Path("shop.lance/thesis.txt").read_text() == "mine"


def test_a_killed_addition_is_given_again(unfinished):
    assert reviews.sensorium(COMMAND).code == 0
    whole = rows("shop.lance")
    wares = reviews.cells(shop.WARES)
    shop.write(Path("half.csv"), wares[5:12])
    for table in ("half.csv", shop.WARES):
        assert reviews.sensorium(f"index runs/pairs {table} --out shop.lance --add").code == 0
    assert rows("shop.lance") == whole
