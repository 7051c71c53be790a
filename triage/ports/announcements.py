"""Announcements about studies (MPPS, Instance Availability Notification)."""

from collections.abc import Collection
from typing import Protocol

from triage.domain.announcement import AnnouncedStudy, AnnouncementChange, Stage


class Announcements(Protocol):
    """Announced instances of studies. Raises LedgerUnavailable."""

    def add(
        self, uid: str, study_uid: str, stage: Stage, sop_instance_uids: Collection[str]
    ) -> bool:
        """Record a new announcement; False if its UID is known."""

    def change(
        self, uid: str, stage: Stage | None, sop_instance_uids: Collection[str] | None
    ) -> AnnouncementChange:
        """Change an announcement in progress; None leaves a value unchanged."""

    def find_by_study(self, study_uid: str) -> AnnouncedStudy | None:
        """Return the announced content of a study; None if nothing is announced."""
