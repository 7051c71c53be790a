"""The progress of the thread that does the work of a process."""

import threading

from triage.domain.health import HungReason
from triage.telemetry.progress import Progress

LIMIT_S = 10.0


def test_work_without_a_step_for_its_limit_has_stalled() -> None:
    progress = Progress()
    progress.begin(LIMIT_S)
    assert [progress.judge(6) for _ in range(3)] == [None, None, HungReason.STALLED]


def test_long_work_of_many_steps_has_not_stalled() -> None:
    progress = Progress()
    progress.begin(LIMIT_S)
    for _ in range(10 * int(LIMIT_S)):
        progress.note()
        assert progress.judge(LIMIT_S / 2) is None


def test_steps_of_another_thread_do_not_count() -> None:
    progress = Progress()
    progress.begin(LIMIT_S)
    progress.judge(0)
    other = threading.Thread(target=progress.note)
    other.start()
    other.join()
    assert progress.judge(LIMIT_S + 1) is HungReason.STALLED


def test_nothing_is_judged_before_the_work_begins_and_while_it_pauses() -> None:
    progress = Progress()
    assert progress.judge(LIMIT_S + 1) is None
    with progress.judging(LIMIT_S):
        progress.judge(0)
        assert progress.judge(LIMIT_S + 1) is HungReason.STALLED
    assert progress.judge(LIMIT_S + 1) is None


def test_a_step_that_lawfully_takes_long() -> None:
    progress = Progress()
    progress.begin(LIMIT_S)
    with progress.allowing(3 * LIMIT_S):
        progress.judge(0)
        assert progress.judge(2 * LIMIT_S) is None
    progress.judge(0)
    assert progress.judge(LIMIT_S + 1) is HungReason.STALLED


def test_an_ended_listener_is_found_whatever_the_steps() -> None:
    progress = Progress()
    progress.begin(LIMIT_S, lambda: False)
    assert progress.judge(0) is HungReason.LISTENER_ENDED
