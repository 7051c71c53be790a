"""Processor time as a multiple of a fixed piece of work beside it: a busy machine slows both."""

from collections.abc import Callable
from statistics import median
from time import process_time

REPEATS = 5


def measure_ratio(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median time of a piece of work, as a multiple of the fixed one (0.1 to 0.2 s).

    It runs once more before, since a first run loads the tables of libraries.
    """
    work()
    return median(_taken_s(work) / _taken_s(_fixed_work) for _ in range(repeats))


def _fixed_work() -> int:
    return sum(number * number for number in range(2_000_000))


def _taken_s(work: Callable[[], object]) -> float:
    started = process_time()
    work()
    return process_time() - started
