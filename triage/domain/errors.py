"""What can go wrong, by what it means for a study.

    TriageError
    ├── ConfigurationError   settings, findings file or bundle: the program does not start
    ├── InstanceRefused      the sender is told so and keeps the instance
    │   ├── DamagedInstance      bytes that are no usable instance: quarantined, 0xC000
    │   ├── MismatchedInstance   the data set is not what the command announced, 0xA900
    │   └── SpoolFull            no room to keep it safely, 0xA700
    │       ├── HeldBack             room is short, or too many studies wait, 0xA700
    │       ├── SpoolAway            the object store does not answer, or refuses; asked again
    │       └── BeingRemoved         older images of its study go at this moment, 0xA700
    ├── StudyDeclined        the study is not for us, with the reason: DECLINED
    ├── BrokerUnavailable    the queue did not take a task; the reconciler sends it again
    ├── LedgerUnavailable    the ledger is busy, full or broken; whoever asked tries again
    ├── OutOfMemory          the model does not fit into memory now; tried again, on less
    ├── AuditUnavailable     the audit repository did not take messages; they alone wait
    ├── QuestionUnclear      a search or key that cannot be read; whoever asked writes it anew
    ├── CaseUnknown          there is no such past case, or none at all
    ├── ArchiveFailed        an archive did not give what it was asked for; it is asked again
    │   └── ArchiveUnreachable   it is not there at all, or wants a pause: it is waited for
    └── DeliveryFailed       a destination did not take a product; it is tried again
        ├── DeliveryRefused          it will never take this: it is not tried again
        └── DestinationUnreachable   it is not there at all: its other deliveries wait for this one

Rule: a message says what to do, and may name a UID but never a patient.
"""


class TriageError(Exception):
    """Any error this project raises on purpose."""


class ConfigurationError(TriageError):
    """Something that a person configured cannot work; the message names file, line and field."""


class InstanceRefused(TriageError):
    """An instance that was not accepted: the sender must keep it."""


class DamagedInstance(InstanceRefused):
    """The bytes cannot be kept as an instance: a header that does not parse, pixels cut short."""


class MismatchedInstance(InstanceRefused):
    """The data set contradicts the C-STORE command that brought it (PS3.4 B.2.3, 0xA9xx)."""


class SpoolFull(InstanceRefused):
    """There is no room left to keep an instance safely."""


class HeldBack(SpoolFull):
    """There is some room left, but not for more; the message says which limit was reached."""


class SpoolAway(SpoolFull):
    """The spool's object store did not do what it was asked for; nothing was promised."""


class BeingRemoved(SpoolFull):
    """Older images of its study are removed at this moment; sent again, it is taken."""


class StudyDeclined(TriageError):
    """The study is not for this worker; the message is the reason that people read."""


class BrokerUnavailable(TriageError):
    """The broker did not take a task. Nothing is lost: the ledger remembers it."""


class AuditUnavailable(TriageError):
    """The audit repository did not take messages, or did not say so; they are sent again."""


class QuestionUnclear(TriageError):
    """What was asked of the past cases cannot be read; the message says what to write."""


class CaseUnknown(TriageError):
    """No past case is the one that was asked for."""


class DeliveryFailed(TriageError):
    """A destination did not take a product; the message is its answer.

    What it `told` in words of its own may name a patient: that goes no further than the ledger.
    """

    def __init__(self, message: str, told: str = "") -> None:
        super().__init__(message)
        self.told = told


class DeliveryRefused(DeliveryFailed):
    """A destination will never take this product; it is given up at once."""


class DestinationUnreachable(DeliveryFailed):
    """A destination did not answer at all; one delivery a time finds out when it is back."""


class ArchiveFailed(TriageError):
    """An archive did not give what it was asked for; the message is its answer."""


class ArchiveUnreachable(ArchiveFailed):
    """An archive is not there, or has said that it wants a pause of `after_s` seconds."""

    def __init__(self, message: str, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.after_s = after_s


class LedgerUnavailable(TriageError):
    """The ledger did not answer. Nothing that was promised is lost; ask again."""


class OutOfMemory(TriageError):
    """The model did not fit into the memory that is left; another time it may."""
