"""The errors that this project raises on purpose, as a tree by what the caller does next.

    TriageError
    ├── ConfigurationError       settings, or a file or option of a command, cannot work
    ├── CommandFailed            a command did not do what the user asked for, or only a part of it
    │   ├── NotFound                 a study, delivery, finding or archive that the user named
    │   │   └── CaseNotFound             a past case
    │   ├── FindingChangeRefused     a finding's state does not allow the change
    │   ├── CalibrationRefused       too few studies for a threshold of a finding
    │   └── CheckFailed              `triage check` found a part of the installation not working
    ├── InvalidQuery             a search or a case key cannot be parsed
    ├── InstanceRefused          this instance is never stored as it is; quarantined
    │   ├── DamagedInstance          no usable instance, C-STORE status 0xC000
    │   │   └── OversizedDataSet         more items, elements or bytes than any image needs
    │   └── MismatchedInstance       contradicts its C-STORE command, status 0xA900
    ├── OutOfResources           nothing is stored now, status 0xA700: the sender tries again
    │   ├── SpoolFull                no disk space left
    │   ├── SpoolUnavailable         the object store does not answer, or refuses
    │   ├── BackpressureActive       a limit of free space or of waiting studies is reached
    │   └── StudyBeingRemoved        retention removes older images of the same study
    ├── StudyDeclined            the study is not for this worker: DECLINED
    ├── BrokerUnavailable        the reconciler sends the task again
    ├── LedgerUnavailable        busy, full or broken: the caller tries again
    ├── ImagesMissing            the spool has lost images of a study, or a restore left them out
    ├── AuditUnavailable         audit events wait; nothing else does
    ├── OutOfMemory              the model does not fit into memory now: tried again with less
    ├── ArchiveFailed            an archive did not do what it was asked for: asked again
    │   └── ArchiveUnreachable       it does not answer, or asks for a pause: waited for
    └── DeliveryFailed           a destination did not take a product: tried again
        ├── DeliveryRefused          it will never take this product: given up at once
        ├── DeliveryUnclear          it may have taken it: tried again a few times
        │   └── DeliveryUnanswered       sent, no answer: its other deliveries wait
        └── DestinationUnreachable   it does not answer: its other deliveries wait

A message states what failed and what to do. It may contain a UID, never a patient's name or ID.
The command line prints the message of any of these errors and exits with 2 (triage/__main__.py);
`triage.dimse.store_response` maps them to C-STORE statuses.
"""

from triage.domain.finding_version import REFUSALS, ChangeRefusal
from triage.domain.reasons import Reason


class TriageError(Exception):
    """Any error that this project raises on purpose."""


class ConfigurationError(TriageError):
    """A setting, or a file or option of a command, cannot work; names file, line and field."""


class CommandFailed(TriageError):
    """A command did not do what the user asked for, or only a part of it."""


class NotFound(CommandFailed):
    """Nothing has the name, UID or id that the user gave."""


class CaseNotFound(NotFound):
    """No past case matches, or the case library is empty."""


class FindingChangeRefused(CommandFailed):
    """A change of a finding is not possible; nothing was changed."""

    def __init__(self, why: ChangeRefusal, **facts: object) -> None:
        super().__init__(REFUSALS[why].format_map(facts))
        self.why = why


class CalibrationRefused(CommandFailed):
    """A finding has too few studies for a threshold; nothing was changed."""


class CheckFailed(CommandFailed):
    """`triage check` found a part of the installation that does not work."""


class InvalidQuery(TriageError):
    """A search of the past cases, or a case key, cannot be parsed; shows the right form."""


class InstanceRefused(TriageError):
    """This instance is never accepted as it is; sending it again does not help."""


class DamagedInstance(InstanceRefused):
    """The bytes are no usable instance: the header does not parse, or pixel data is truncated."""


class OversizedDataSet(DamagedInstance):
    """The data set has more items, elements or nesting than is read; the message has the limit."""


class MismatchedInstance(InstanceRefused):
    """The data set contradicts the C-STORE command that brought it (PS3.4 B.2.3, 0xA9xx)."""


class OutOfResources(TriageError):
    """Nothing can be stored at the moment (PS3.4 B.2.3, 0xA7xx); the same request works later."""


class SpoolFull(OutOfResources):
    """The disk or bucket of the spool has no space left."""


class SpoolUnavailable(OutOfResources):
    """The object store of the spool does not answer, or refused; nothing was acknowledged."""


class BackpressureActive(OutOfResources):
    """A back-pressure limit is reached; the message names the limit."""


class StudyBeingRemoved(OutOfResources):
    """Retention removes older images of the study at this moment; sent again, it is stored."""


class StudyDeclined(TriageError):
    """The study is not for this worker; `reason` becomes the reason of its state."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


class BrokerUnavailable(TriageError):
    """The broker did not take a task. Nothing is lost: the task is due in the ledger."""


class AuditUnavailable(TriageError):
    """The audit repository did not acknowledge audit events; they are sent again."""


class DeliveryFailed(TriageError):
    """A destination did not take a product; the message is its answer.

    `peer_text` is free text from the destination. It may contain a patient's name, so it is stored
    in the ledger and never logged.
    """

    def __init__(self, message: str, peer_text: str = "") -> None:
        super().__init__(message)
        self.peer_text = peer_text


class DeliveryRefused(DeliveryFailed):
    """A destination will never take this product; the delivery is given up at once."""


class DeliveryUnclear(DeliveryFailed):
    """A destination may have taken this product, which it would take twice: tried a few times.

    A destination that recognises a repeated product raises `DeliveryFailed` instead: another try
    does no harm there.
    """


class DeliveryUnanswered(DeliveryUnclear):
    """A product was sent and no answer came; one delivery at a time finds out when one comes."""


class DestinationUnreachable(DeliveryFailed):
    """A destination does not answer, or asked for a pause of `after_s` seconds.

    One delivery at a time finds out when it is back.
    """

    def __init__(self, message: str, peer_text: str = "", *, after_s: float = 0.0) -> None:
        super().__init__(message, peer_text)
        self.after_s = after_s


class ArchiveFailed(TriageError):
    """An archive did not do what it was asked for; the message is its answer."""


class ArchiveUnreachable(ArchiveFailed):
    """An archive does not answer, or asked for a pause of `after_s` seconds."""

    def __init__(self, message: str, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.after_s = after_s


class LedgerUnavailable(TriageError):
    """The ledger did not answer. Nothing that was acknowledged is lost; try again."""


class ImagesMissing(TriageError):
    """The spool has lost images that the ledger knows, or a restored backup was without them."""


class OutOfMemory(TriageError):
    """The model does not fit into the memory that is free now; a later attempt may succeed."""
