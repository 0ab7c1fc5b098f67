"""Work done by other processes, given and handed back in order."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import torch

from sensorium.errors import UserError

FORK = "fork" if sys.platform == "linux" else None
T = TypeVar("T")
R = TypeVar("R")

# In a worker: what it does with each item. A forked worker inherits it, so that nothing large is sent.
_task: Callable[[Any], Any]


def map_in_order(
    function: Callable[[T], R], items: Iterable[T], workers: int, method: str | None = FORK
) -> Iterator[R]:
    """`function` of each item, in order, worked out by `workers` processes; by this one when there are none.

    method: how they start. Forking starts at once, sends nothing, and asks no `if __name__ == "__main__"` of the user's
    script, but a forked process cannot train once this one has; "spawn" can, and is sent the function.
    At most two items a worker are under way, so that memory is bounded. The processes end with the iterator, and with
    this process however it dies. An error in a worker is raised here as it was there; UserError when a worker was
    killed.
    """
    if workers == 0:
        yield from map(function, items)
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context(method), initializer=_begin, initargs=(function,))
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(_submit(pool, item))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise UserError(
            "A process that worked for this one was killed, most likely for lack of memory;"
            " use fewer workers or smaller batches."
        ) from error
    except UserError as error:
        raise error from None  # its cause is the worker's traceback as text, which is no help to the person
    finally:
        pool.shutdown(cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, item: Any) -> Future:
    """Hands in an item with Ctrl-C held back: the first starts the workers, which inherit that and so never hear it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_work, item)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(function: Callable[[Any], Any]) -> None:
    global _task
    _task = function
    torch.set_num_threads(1)
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    """Ends this worker when its parent is gone, even by a kill."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _work(item: Any) -> Any:
    return _task(item)
