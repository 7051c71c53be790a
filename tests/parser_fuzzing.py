"""Rounds of malformed inputs to a parser in this process, with limits of time and memory.

Each input is parsed, or refused with an error of the permitted types: any other exception fails the
test. One input may take HANG_S of processor time, which a busy machine does not change, and after
the first round the process may grow by GROWTH_MB. `--fuzz-seconds` sets how long a test goes on.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

import psutil
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

#: Hypothesis makes inputs, and neither shrinks nor keeps one; each user sets `max_examples`.
GENERATE_ONLY = settings(
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
HANG_S = 2.0  #: of processor time, for one input
GROWTH_MB = 50.0
ROUND = 50  #: inputs
Input = TypeVar("Input")


class HangingParserError(BaseException):
    """A parser took longer than HANG_S; no `except Exception` of a parser hides it."""


def fuzz_parser(
    inputs: SearchStrategy[Input],
    parse: Callable[[Input], object],
    refusals: tuple[type[Exception], ...],
    seconds: float,
) -> None:
    """Parse inputs until the time is over; fails as the module's docstring says."""
    counts = {"parsed": 0, "refused": 0}

    @settings(GENERATE_ONLY, max_examples=ROUND)
    @given(inputs)
    def parse_one(one: Input) -> None:
        with _limited_time():
            try:
                parse(one)
            except refusals:
                counts["refused"] += 1
            else:
                counts["parsed"] += 1

    until, before = time.monotonic() + seconds, None
    while before is None or time.monotonic() < until:
        parse_one()
        before = before or measure_memory_mb()  # after the first round: its imports stay
    growth = measure_memory_mb() - before
    print(f"\n{counts}, {growth:.1f} MB more")
    assert growth < GROWTH_MB
    assert counts["refused"], "the inputs are not malformed"


def measure_memory_mb() -> float:
    """Return the resident memory of this process."""
    return float(psutil.Process().memory_info().rss / 1e6)


@contextmanager
def _limited_time() -> Iterator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise HangingParserError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
