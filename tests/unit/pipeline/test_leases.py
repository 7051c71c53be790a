import threading

import pytest

from triage.domain.errors import LedgerUnavailable
from triage.pipeline.leases import keep_alive


def test_a_lease_is_renewed_until_the_work_ends() -> None:
    beats = threading.Semaphore(0)
    with keep_alive(beats.release, 0.01):
        assert all(beats.acquire(timeout=60) for _ in range(3))
    while beats.acquire(blocking=False):
        pass
    assert not beats.acquire(timeout=0.1)


def test_a_ledger_that_is_busy_for_a_moment_does_not_cost_the_lease() -> None:
    beats = threading.Semaphore(0)

    def renew() -> None:
        beats.release()
        raise LedgerUnavailable("database is locked")

    with keep_alive(renew, 0.01):
        assert all(beats.acquire(timeout=60) for _ in range(3))


def test_an_error_of_the_work_ends_the_lease_and_is_not_hidden() -> None:
    beats = threading.Semaphore(0)
    with pytest.raises(RuntimeError), keep_alive(beats.release, 0.01):
        raise RuntimeError
