"""Storage commitment (PS3.4 annex J), decided on what is really on disk.

An instance is committed only if it was stored under the requested SOP class and its bytes are
unchanged; otherwise the answer is a failure with its reason.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum


class FailureReason(IntEnum):
    """Failure Reason (0008,1197) of PS3.3 C.14.1.1, the values that we return."""

    PROCESSING_FAILURE = 0x0110  #: the instance was stored, and its file is missing or has changed
    NO_SUCH_OBJECT_INSTANCE = 0x0112
    CLASS_INSTANCE_CONFLICT = 0x0119


#: Failure Reason (0008,1197) of PS3.3 C.14.1.1, as archives may give them.
FAILURE_REASONS = {
    0x0110: "Processing failure",
    0x0112: "No such object instance",
    0x0119: "Class/Instance conflict",
    0x0122: "Referenced SOP Class not supported",
    0x0131: "Duplicate Transaction UID",
    0x0213: "Resource limitation",
}


@dataclass(frozen=True)
class Reference:
    """A reference to an instance."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class ReceivedInstance:
    """An instance that was received."""

    sop_class_uid: str
    path: str  #: relative to the spool's root
    digest: str  #: SHA-256 of the Part 10 file, in hexadecimal


@dataclass(frozen=True)
class Commitment:
    """A commitment request that awaits our report."""

    id: int
    requestor: str  #: AE title
    transaction_uid: str
    references: tuple[Reference, ...]
    attempts: int


@dataclass(frozen=True)
class CommitmentReport:
    """The report on a commitment request."""

    transaction_uid: str
    committed: tuple[Reference, ...]
    failed: tuple[tuple[Reference, int], ...]  #: with the Failure Reason

    def is_committed(self, reference: Reference) -> bool:
        """Return whether an instance is listed as committed and not as failed."""
        return reference in self.committed and self.get_failure_reason(reference) is None

    def get_failure_reason(self, reference: Reference) -> int | None:
        """Return the Failure Reason of an instance; None if there is none."""
        uid = reference.sop_instance_uid
        return next((why for item, why in self.failed if item.sop_instance_uid == uid), None)


def find_failure(
    reference: Reference,
    kept: Iterable[ReceivedInstance],
    is_intact: Callable[[ReceivedInstance], bool],
) -> FailureReason | None:
    """Return why an instance is not committed; None if it is committed.

    `kept`: the instances that were received under its UID, in any study.
    """
    found = list(kept)
    if not found:
        return FailureReason.NO_SUCH_OBJECT_INSTANCE
    of_class = [item for item in found if item.sop_class_uid == reference.sop_class_uid]
    if not of_class:
        return FailureReason.CLASS_INSTANCE_CONFLICT
    if not all(is_intact(item) for item in of_class):
        return FailureReason.PROCESSING_FAILURE
    return None
