"""Processes that read records: errors as they were, no hang, nothing left behind, deaf to Ctrl-C."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import types
from multiprocessing.spawn import get_preparation_data

import numpy as np
import pytest
import torch

from sensorium.data.read import read
from sensorium.data.records import Records, load
from sensorium.data.workers import _unguarded_script_hidden, map_in_order
from sensorium.errors import RecordError, UserError
from tests.data.made_records import Lengths, frame, items, records, table


def gone(processes, seconds=5.0):
    """True once none of `processes` (ids) is alive."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not any(alive(process) for process in processes):
            return True
        time.sleep(0.02)
    return False


def alive(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("workers", [0, 2])
def test_a_value_that_cannot_be_decoded_is_named_by_row_and_column(workers, tmp_path):
    broken = frame()
    broken.at[12, "photo"] = "none.png"
    columns = {"photo": "image", "words": "text", "again": "text"}
    part = read(broken, target="kind", columns=columns, quiet=True, root=tmp_path).take(np.arange(10, 20))
    made = Records(part, {name: Lengths() for name in columns})
    with pytest.raises(RecordError) as caught:
        list(load(made, [(np.arange(0, 2), 0), (np.arange(2, 4), 0), (np.arange(4, 6), 0)], workers))
    error = caught.value
    assert (error.row, error.column, error.value, error.reason) == (13, "photo", "none.png", "there is no such file")
    assert str(error).startswith("Row 13, column 'photo', none.png: there is no such file;") and "\n" not in str(error)
    assert error.__cause__ is None or workers == 0
    assert gone(child.pid for child in multiprocessing.active_children())


class Buggy(Lengths):
    def pad(self, items):
        raise KeyError("a bug")


def test_a_bug_in_a_worker_is_raised_as_it_was():
    made = Records(table(), {"words": Buggy()})
    with pytest.raises(KeyError, match="a bug") as caught:
        list(load(made, items(0), 2))
    assert "in pad" in str(caught.value.__cause__)


def workers_of(stream):
    """The first batch of `stream`, and the ids of the processes that then work for it."""
    batch = next(stream)
    return batch, [child.pid for child in multiprocessing.active_children()]


def test_workers_end_with_the_iterator():
    made = records()
    for _ in range(3):
        stream = load(made, items(0) * 50, 2)
        _, children = workers_of(stream)
        assert len(children) == 2
        stream.close()
        assert gone(children)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        list(load(made, items(0), 2))
    assert len(os.listdir("/proc/self/fd")) <= before and not multiprocessing.active_children()


def test_few_items_are_taken_ahead():
    taken = []
    stream = load(records(), (taken.append(1) or item for item in items(0) * 100), 2)
    next(stream)
    time.sleep(0.2)
    assert len(taken) <= 4
    stream.close()


class Slow(Lengths):
    def pad(self, items):
        time.sleep(0.01)
        return super().pad(items)


@pytest.mark.parametrize("attempt", range(5))
def test_a_killed_worker_is_an_error_and_no_hang(attempt):
    stream = load(Records(table(), {"words": Slow()}), items(0) * 10_000, 2)
    _, children = workers_of(stream)
    time.sleep(0.01 * attempt)
    os.kill(children[attempt % 2], signal.SIGKILL)
    start = time.monotonic()
    with pytest.raises(UserError, match="was killed"):
        for _ in stream:
            assert time.monotonic() - start < 10
    assert gone(children)


def test_workers_that_inherit_trainings_handler_of_sigterm_end_with_a_killed_one():
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        stream = load(Records(table(), {"words": Slow()}), items(0) * 10_000, 2)
        _, children = workers_of(stream)
        os.kill(children[0], signal.SIGKILL)
        with pytest.raises(UserError, match="was killed"):
            for _ in stream:
                pass
        assert gone(children)
    finally:
        signal.signal(signal.SIGTERM, before)


def cut_short(item):
    """Begins to send a result, and is killed before the end of it."""
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGKILL)).start()
    queue = next(each for each in gc.get_objects() if isinstance(each, multiprocessing.queues.SimpleQueue))
    os.write(queue._writer.fileno(), b"\0\0\1\0half")
    time.sleep(10)


def test_a_worker_killed_within_a_message_is_an_error_and_no_hang():
    with pytest.raises(UserError, match="was killed"):
        list(map_in_order(cut_short, range(4), 2))


def test_without_shared_memory_batches_are_handed_on_as_they_are_with_it(monkeypatch):
    def refuse(tensor):
        raise RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")

    monkeypatch.setattr("sensorium.data.records._SMALL", 0)
    expected = list(load(records(), items(0), 2))
    monkeypatch.setattr(torch.Tensor, "share_memory_", refuse)
    for batch, same in zip(load(records(), items(0), 2), expected, strict=True):
        assert torch.equal(batch.inputs["words"]["values"], same.inputs["words"]["values"])


SCRIPT = """
    import multiprocessing, sys
    sys.path.insert(0, {folder!r})
    from made_records import items, records
    from sensorium.data.records import load
    stream = load(records(), items(0) * 100_000, 2)
    next(stream)
    try:
        print(*[child.pid for child in multiprocessing.active_children()], flush=True)
        for _ in stream:
            pass
    except KeyboardInterrupt:
        stream.close()
        print("interrupted", flush=True)
"""


@pytest.fixture
def running():
    """A process group whose leader loads with two workers without end; the ids of the workers."""
    script = textwrap.dedent(SCRIPT.format(folder=os.path.dirname(__file__)))
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    children = [int(word) for word in process.stdout.readline().split()]
    assert len(children) == 2, process.stderr.read()
    yield process, children
    process.kill()
    process.communicate()


def test_ctrl_c_reaches_the_parent_alone(running):
    process, children = running
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert err == "" and out == "interrupted\n" and process.returncode == 0
    assert gone(children)


def test_workers_end_when_their_parent_is_killed(running):
    process, children = running
    process.kill()
    assert gone(children)


def in_a_daemon(queue):
    queue.put(list(map_in_order(abs, [-1, -2], 2)))


def test_a_process_that_may_start_no_other_reads_by_itself():
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=in_a_daemon, args=(queue,), daemon=True)
    child.start()
    child.join(30)
    assert child.exitcode == 0 and queue.get() == [1, 2]


@pytest.mark.parametrize(("code", "runs_again"), [("import x", False), ('if __name__ == "__main__":\n    pass', True)])
def test_a_spawned_process_does_not_run_an_unguarded_script_again(code, runs_again, tmp_path, monkeypatch):
    script = types.ModuleType("__main__")
    script.__file__ = str(tmp_path / "script.py")
    (tmp_path / "script.py").write_text(code)
    monkeypatch.setitem(sys.modules, "__main__", script)
    with _unguarded_script_hidden():
        assert ("init_main_from_path" in get_preparation_data("worker")) is runs_again
    assert "init_main_from_path" in get_preparation_data("worker")


def test_a_worker_does_not_have_its_parents_handler_of_termination():
    previous = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        handlers = list(map_in_order(signal.getsignal, [signal.SIGTERM] * 2, 1))
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert handlers == [signal.SIG_DFL] * 2


def test_threads_that_torch_has_used_do_not_hang_the_workers():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.randn(400, 400) @ torch.randn(400, 400)
    torch.randn(1_000_000).sort()
    try:
        assert len(list(load(records(), items(0), 2))) == 6
    finally:
        torch.set_num_threads(threads)
