"""Work done by other processes, whose results come back in order."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch

from sensorium.errors import UserError

FORK = "fork" if sys.platform == "linux" else None
_LOOK_AFTER = 1.0  # seconds without a result after which the workers are looked at
T = TypeVar("T")
R = TypeVar("R")

# In a worker: the function that it calls with each item. A forked worker inherits it, so that nothing large is sent.
_task: Callable[[Any], Any]


def map_in_order(
    function: Callable[[T], R], items: Iterable[T], workers: int, method: str | None = FORK
) -> Iterator[R]:
    """`function` of each item, in order, computed by `workers` processes; by this process when `workers` is 0, or when
    it is one that may not start others, such as those of multiprocessing.Pool.

    method: how they start. Forking starts at once and sends nothing, but a forked process cannot train after this one
    has trained; "spawn" can, and is sent the function. Neither asks `if __name__ == "__main__"` of the user's script.
    At most two items a worker are in work, so that memory is bounded. The processes end with the iterator, and with
    this process however it dies. An error in a worker is raised here unchanged; UserError when a worker was killed.
    """
    if workers == 0 or multiprocessing.current_process().daemon:
        yield from map(function, items)
        return
    context = multiprocessing.get_context(method)
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(function,))
    pending: deque[Future[R]] = deque()
    try:
        for item in items:
            pending.append(_submit(pool, item))
            if len(pending) >= 2 * workers:
                yield _wait_for(pending.popleft(), pool)
        while pending:
            yield _wait_for(pending.popleft(), pool)
    except BrokenProcessPool as error:
        _kill_workers(pool)
        raise UserError(
            "A process that worked for this one was killed, most likely for lack of memory;"
            " use fewer workers or smaller batches."
        ) from error
    except UserError as error:
        raise error from None  # its cause is the worker's traceback as text, which does not help the user
    finally:
        pool.shutdown(cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, item: Any) -> Future:
    """Submits an item with Ctrl-C blocked: the first starts the workers, which inherit the mask and so ignore it."""
    previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with _unguarded_script_hidden():
            return pool.submit(_run_task, item)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)


def _wait_for(future: Future[R], pool: ProcessPoolExecutor) -> R:
    """The result of `future`. A worker killed within a message breaks the pool, which would wait for its end."""
    while True:
        try:
            return future.result(_LOOK_AFTER)
        except TimeoutError:
            if future.done():
                raise
            if any(process.exitcode is not None for process in pool._processes.values()):
                _kill_workers(pool)
                pool._result_queue._writer.close()  # the last one open, so that the pool reads the end of the file


def _kill_workers(pool: ProcessPoolExecutor) -> None:
    """Ends the workers of a broken pool, which sends them SIGTERM: forked in training, they inherit its handler."""
    for process in pool._processes.values():
        process.kill()


@contextmanager
def _unguarded_script_hidden() -> Iterator[None]:
    """While entered, a spawned process does not import the user's script, unless that has a part for it: it would do
    all of its work again.
    """
    script = vars(sys.modules["__main__"])
    path = script.get("__file__")
    if path is None or not Path(path).is_file() or b"__name__" in Path(path).read_bytes():
        yield
        return
    names = {name: script[name] for name in ("__file__", "__spec__")}
    script.update(dict.fromkeys(names))
    try:
        yield
    finally:
        script.update(names)


def _start_worker(function: Callable[[Any], Any]) -> None:
    global _task
    _task = function
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the handler of the parent is about its own work
    torch.set_num_threads(1)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """Ends this worker when its parent has ended, even by a kill."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _run_task(item: Any) -> Any:
    return _task(item)
