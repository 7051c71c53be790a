"""The versions of findings."""

from collections.abc import Sequence
from typing import Protocol

from triage.domain.finding_version import FindingVersion


class FindingLedger(Protocol):
    """All versions of all findings, to which changes append. Raises LedgerUnavailable."""

    def get_revision(self) -> int:
        """Return a number that every change increases; 0 if there are no findings.

        It costs one look-up, so that a worker asks before each study.
        """

    def list_versions(self) -> Sequence[FindingVersion]:
        """Return all versions, oldest first.

        Raises ConfigurationError for a version that only another release can read.
        """

    def append(self, versions: Sequence[FindingVersion], revision: int) -> bool:
        """Append the versions of one change in one transaction, all or none.

        Returns False, and changes nothing, if the revision is not `revision` any more.
        """
