"""Contract of the announcements, on every kind of database."""

import pytest

from tests.contract.ledgers import SOURCE, numbered_receipt
from tests.fakes import FakeClock
from triage.domain.announcement import AnnouncedStudy, AnnouncementChange, Stage
from triage.ports.announcements import Announcements
from triage.store.announcements import KEPT_S, SqlAnnouncements
from triage.store.database import Database
from triage.store.ledger import SqlLedger

STUDY = "1.2"


@pytest.fixture
def announcements(database: Database, clock: FakeClock) -> Announcements:
    return SqlAnnouncements(database, clock)


def test_nothing_is_known_of_an_unannounced_study(announcements: Announcements) -> None:
    assert announcements.find_by_study(STUDY) is None


def test_a_completed_step_announces_its_instances(announcements: Announcements) -> None:
    assert announcements.add("1", STUDY, Stage.COMPLETED, ["1.2.1", "1.2.2", "1.2.2"])
    assert announcements.find_by_study(STUDY) == AnnouncedStudy(2, 0)
    assert announcements.find_by_study("1.3") is None


def test_a_known_uid_is_not_added_again(announcements: Announcements) -> None:
    assert announcements.add("1", STUDY, Stage.COMPLETED, ["1.2.1"])
    assert not announcements.add("1", STUDY, Stage.COMPLETED, ["1.2.1", "1.2.2"])
    assert announcements.find_by_study(STUDY) == AnnouncedStudy(1, 0)


def test_a_step_in_progress_can_be_changed_until_it_ends(announcements: Announcements) -> None:
    announcements.add("1", STUDY, Stage.IN_PROGRESS, [])
    assert announcements.find_by_study(STUDY) == AnnouncedStudy(0, 0, in_progress=True)
    assert announcements.change("1", None, ["1.2.1"]) is AnnouncementChange.DONE
    assert announcements.find_by_study(STUDY) == AnnouncedStudy(1, 0, in_progress=True)
    assert announcements.change("1", Stage.COMPLETED, None) is AnnouncementChange.DONE
    assert announcements.find_by_study(STUDY) == AnnouncedStudy(1, 0)
    assert announcements.change("1", None, []) is AnnouncementChange.FINAL
    assert announcements.change("2", None, []) is AnnouncementChange.UNKNOWN


def test_a_changed_list_of_instances_replaces_the_old_one(announcements: Announcements) -> None:
    announcements.add("1", STUDY, Stage.IN_PROGRESS, ["1.2.1", "1.2.2"])
    announcements.change("1", Stage.DISCONTINUED, ["1.2.3"])
    assert announcements.find_by_study(STUDY) == AnnouncedStudy(1, 0, discontinued=True)


def test_announcements_of_one_study_are_combined(announcements: Announcements) -> None:
    announcements.add("1", STUDY, Stage.COMPLETED, ["1.2.1", "1.2.2"])
    announcements.add("2", STUDY, Stage.IN_PROGRESS, ["1.2.2", "1.2.3"])
    assert announcements.find_by_study(STUDY) == AnnouncedStudy(3, 0, in_progress=True)


def test_received_instances_of_the_study_are_counted(
    announcements: Announcements, database: Database, clock: FakeClock
) -> None:
    announcements.add("1", STUDY, Stage.COMPLETED, ["1.2.1", "1.2.2"])
    ledger = SqlLedger(database, clock)
    ledger.record_instance(numbered_receipt(STUDY, 1), SOURCE)
    ledger.record_instance(numbered_receipt(STUDY, 9), SOURCE)  # not announced
    assert announcements.find_by_study(STUDY) == AnnouncedStudy(2, 1)


def test_unchanged_announcements_are_deleted_after_a_while(
    announcements: Announcements, clock: FakeClock
) -> None:
    announcements.add("1", STUDY, Stage.COMPLETED, ["1.2.1"])
    clock.pass_s(KEPT_S + 1)
    announcements.add("2", "1.3", Stage.COMPLETED, [])
    assert announcements.find_by_study(STUDY) is None
