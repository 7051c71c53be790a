"""Every process is ended and started again while studies arrive: nothing is lost or doubled."""

from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.crashes.load import StudyLoad, Sum, is_through
from tests.acceptance.crashes.surroundings import surroundings
from tests.waiting import wait_until

STUDIES = 30
THROUGH_S = 180.0
IN_TURN = ("receive", "assess", "deliver", "redis-server")  #: arguments of their command lines


def has_more_than(load: StudyLoad, sent: int) -> bool:
    return len(load.sent) > sent


@pytest.mark.timeout(600)
def test_nothing_is_lost_when_every_process_restarts_under_load(short_folder: Path) -> None:
    with (
        surroundings(short_folder, quiet_s=3, reports=["structured_report"]) as around,
        StudyLoad(around.to_site.port, STUDIES) as load,
    ):
        for word in IN_TURN:
            sent = len(load.sent)
            wait_until(partial(has_more_than, load, sent), 60, "more studies")
            around.site.process(word).terminate()  # raises where there is none
            around.wait_until_up()
        around.restart()
        load.join()
        wait_until(lambda: is_through(around.site, load), THROUGH_S, "the end of every study")
        reports = Counter({e.study.uid: around.archive.reports(e.study.uid) for e in load.sent})
        came_to = Sum.of(around.site, load, reports)
    print(came_to)
    assert came_to.studies == STUDIES
    assert came_to.holds
