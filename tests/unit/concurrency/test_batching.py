import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from triage.concurrency.batching import BatchedCall


def test_calls_at_the_same_moment_share_one_act() -> None:
    acts: list[list[int]] = []
    first_acts, may_end = threading.Event(), threading.Event()

    def act(items: Sequence[int]) -> None:
        acts.append(list(items))
        first_acts.set()
        may_end.wait(60)

    together = BatchedCall(act)
    with ThreadPoolExecutor(10) as pool:
        calls = [pool.submit(together, 0)]
        first_acts.wait(60)
        calls += [pool.submit(together, number) for number in range(1, 10)]
        while len(together._next.items) < 9:
            pass
        assert not any(call.done() for call in calls)
        may_end.set()
        for call in calls:
            call.result(10)
    assert [sorted(items) for items in acts] == [[0], list(range(1, 10))]


def test_every_caller_of_a_batch_gets_its_error_and_the_next_batch_does_not() -> None:
    def act(items: Sequence[int]) -> None:
        if 1 in items:
            raise OSError("no room")

    together = BatchedCall(act)
    with pytest.raises(OSError, match="no room"):
        together(1)
    together(2)
