"""What modalities announce of a study (MPPS, Instance Availability Notification)."""

from collections.abc import Collection
from typing import Protocol

from triage.domain.announcement import AnnouncedStudy, AnnouncementChange, Stage


class Announcements(Protocol):
    """What is said that studies have, before or after it comes. Raises LedgerUnavailable."""

    def add(
        self, uid: str, study_uid: str, stage: Stage, sop_instance_uids: Collection[str]
    ) -> bool:
        """Remember a new announcement; False where its UID is known."""

    def change(
        self, uid: str, stage: Stage | None, sop_instance_uids: Collection[str] | None
    ) -> AnnouncementChange:
        """Change an announcement that is in progress; None leaves what was said."""

    def find_by_study(self, study_uid: str) -> AnnouncedStudy | None:
        """Return what is announced of a study, None where nothing is."""
