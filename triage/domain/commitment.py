"""Storage commitment: the word that instances are kept, given on what is really on disk.

Rule: an instance is committed to only if it was kept under the class that is asked about and its
bytes are those that were kept; whatever else is found is a failure with its reason.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum


class FailureReason(IntEnum):
    """Failure Reason (0008,1197) of PS3.3 C.14.1.1, as far as we give them."""

    PROCESSING_FAILURE = 0x0110  #: we had it, and its bytes are gone or others
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
    """An instance that somebody asks about."""

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
    """A request whose report is outstanding."""

    id: int
    requestor: str  #: AE title
    transaction_uid: str
    references: tuple[Reference, ...]
    attempts: int


@dataclass(frozen=True)
class CommitmentReport:
    """What is said to a request."""

    transaction_uid: str
    committed: tuple[Reference, ...]
    failed: tuple[tuple[Reference, int], ...]  #: each with its Failure Reason

    def is_committed(self, reference: Reference) -> bool:
        """Tell whether an instance is named as kept, and nowhere as failed."""
        return reference in self.committed and self.get_failure_reason(reference) is None

    def get_failure_reason(self, reference: Reference) -> int | None:
        """Return why an instance is not kept; None where none is given."""
        uid = reference.sop_instance_uid
        return next((why for each, why in self.failed if each.sop_instance_uid == uid), None)


def find_failure(
    reference: Reference,
    kept: Iterable[ReceivedInstance],
    is_intact: Callable[[ReceivedInstance], bool],
) -> FailureReason | None:
    """Return why an instance is not committed to; None where it is.

    `kept`: what was received under its UID, in whatever study.
    """
    found = list(kept)
    if not found:
        return FailureReason.NO_SUCH_OBJECT_INSTANCE
    of_class = [each for each in found if each.sop_class_uid == reference.sop_class_uid]
    if not of_class:
        return FailureReason.CLASS_INSTANCE_CONFLICT
    if not all(is_intact(each) for each in of_class):
        return FailureReason.PROCESSING_FAILURE
    return None
