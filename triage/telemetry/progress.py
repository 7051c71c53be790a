"""The progress of the thread that does the work of this process.

A long assessment is distinguished from one that hangs by its steps. The working thread calls
`note_progress` between two of them: an image that is read, a batch that the model encodes, a duty
of the receiver. Another thread of the process calls `judge` once a second
(`triage.runtime.parent`). A process has one such thread, therefore its progress is one object,
`PROGRESS`; a call of `note_progress` from any other thread has no effect.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf

from triage.domain.health import HungReason


def _always() -> bool:
    return True


class Progress:
    """The steps of one thread, and for how long there was none."""

    def __init__(self) -> None:
        self._thread: int | None = None  #: None: nothing is judged at present
        self._limit_s = inf
        self._is_working: Callable[[], bool] = _always
        self._steps = 0
        self._judged_steps = 0
        self._stalled_s = 0.0

    def begin(self, limit_s: float, is_working: Callable[[], bool] = _always) -> None:
        """Judge the calling thread from now on: it makes a step every `limit_s` seconds at least.

        `is_working` returns whether the other threads on which the work depends still run.
        """
        self._limit_s, self._is_working = limit_s, is_working
        self._thread = threading.get_ident()
        self._steps += 1

    def pause(self) -> None:
        """Judge nothing until `begin`: the thread waits for a program that may be away for long."""
        self._thread = None

    @contextmanager
    def judging(self, limit_s: float, is_working: Callable[[], bool] = _always) -> Iterator[None]:
        """Judge the calling thread until the block ends; see `begin`."""
        self.begin(limit_s, is_working)
        try:
            yield
        finally:
            self.pause()

    @contextmanager
    def allowing(self, limit_s: float) -> Iterator[None]:
        """Allow the steps in the block to take longer than others."""
        before, self._limit_s = self._limit_s, max(self._limit_s, limit_s)
        try:
            yield
        finally:
            self._steps += 1
            self._limit_s = before

    def note(self) -> None:
        """Note a step if the calling thread is the one that is judged."""
        if threading.get_ident() == self._thread:
            self._steps += 1

    def judge(self, elapsed_s: float) -> HungReason | None:
        """Return why the work hangs, `elapsed_s` seconds after the last call; None if it does not.

        The caller bounds `elapsed_s`, because a machine that was asleep is not a hung thread.
        """
        if self._thread is None:
            self._stalled_s = 0.0
            return None
        if not self._is_working():
            return HungReason.LISTENER_ENDED
        self._stalled_s = self._stalled_s + elapsed_s if self._steps == self._judged_steps else 0.0
        self._judged_steps = self._steps
        return HungReason.STALLED if self._stalled_s > self._limit_s else None


PROGRESS = Progress()  #: of this process


def note_progress() -> None:
    """Note a step of the work of this process."""
    PROGRESS.note()
