"""The instances that have arrived."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from triage.domain.completeness import StackCount
from triage.domain.instance import Receipt, Source
from triage.domain.study import StudyRevision


class InstanceLedger(Protocol):
    """Which instances have arrived, and where the spool keeps them.

    Each call is one transaction, at the time of the ledger's own clock. A change that is no longer
    possible, because another worker was faster, returns False or None. Raises LedgerUnavailable.
    """

    def record_instance(self, receipt: Receipt, source: Source) -> StudyRevision:
        """Remember an instance; it opens a study, joins it, or opens its next revision.

        Raises StudyBeingRemoved while the study's images go: nothing is remembered then.
        """

    def list_paths(self, study_uid: str, revision: int) -> Sequence[str]:
        """Return the spool paths of every instance of a revision, sorted."""

    def list_known_paths(self) -> set[str]:
        """Return the spool paths of all instances."""

    def has_study(self, study_uid: str) -> bool:
        """Tell whether anything of a study has come."""

    def list_stacks(self, study_uid: str, revision: int) -> Sequence[StackCount]:
        """Return the images by series and place, where they say of how many they are."""

    def count_removed_instances(self, study_uid: str) -> int:
        """Return how many instances a study had whose images were removed; 0: none were."""

    def list_sources(self, study_uid: str, revision: int) -> set[str]:
        """Return the calling AE titles that instances of a revision came from."""

    def count_arrivals(self, study_uid: str, revision: int) -> Mapping[Source, Mapping[str, int]]:
        """Return how many instances of each SOP class a revision has first, by who sent them."""
