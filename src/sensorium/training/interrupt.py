"""Ctrl-C and termination, handled between two optimiser steps."""

import signal
import threading


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop, and its state is saved."""


class Signals:
    """While entered, the first SIGINT or SIGTERM only sets `received`; a second SIGINT interrupts as usual."""

    def __init__(self):
        self.received = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = True
