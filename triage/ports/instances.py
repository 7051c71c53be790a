"""The instances that have arrived."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from triage.domain.completeness import StackCount
from triage.domain.instance import Receipt, Source
from triage.domain.study import StudyRevision


class InstanceLedger(Protocol):
    """The instances that have arrived, and their paths in the spool.

    Each call is one transaction, at the time of the ledger's own clock. A change that is no longer
    possible, because another worker was faster, returns False or None. Raises LedgerUnavailable.
    """

    def record_instance(self, receipt: Receipt, source: Source) -> StudyRevision:
        """Record an instance; it opens a study, joins it, or opens its next revision.

        Raises: StudyBeingRemoved while images of the study are removed; nothing is recorded.
        """

    def replace_instance(self, receipt: Receipt, source: Source) -> StudyRevision:
        """Record an instance in place of a known one with other content.

        The study's open revision or its next one has it; the earlier file is kept. A known instance
        with the same file changes nothing, an unknown one is recorded.

        Raises: StudyBeingRemoved while images of the study are removed; nothing is recorded.
        """

    def list_paths(self, study_uid: str, revision: int) -> Sequence[str]:
        """Return the spool paths of every instance of a revision, sorted."""

    def list_known_paths(self) -> set[str]:
        """Return the spool paths of all instances."""

    def has_study(self, study_uid: str) -> bool:
        """Return whether any instance of a study has arrived."""

    def list_stacks(self, study_uid: str, revision: int) -> Sequence[StackCount]:
        """Return image counts by series and position, for images that state their number."""

    def count_removed_instances(self, study_uid: str) -> int:
        """Return the number of instances of a study that were removed; 0 if none."""

    def list_sources(self, study_uid: str, revision: int) -> set[str]:
        """Return the calling AE titles that sent instances of a revision."""

    def count_arrivals(self, study_uid: str, revision: int) -> Mapping[Source, Mapping[str, int]]:
        """Return the new instances of a revision by sender and SOP class."""
