"""Incidents: what a PACS administrator has to be able to see, beside the states of studies.

The ledger stores the kind of an incident as the value of `IncidentKind`, and decides by the kind
alone; the detail is a sentence for people. A new kind needs a row in deploy/REASONS.md
(`python -m tests.builders.generated_documents`).
"""

from dataclasses import dataclass
from enum import StrEnum

from triage.domain.instance import Source


class IncidentKind(StrEnum):
    """The kind of an incident, as the ledger stores it; never change a value."""

    REJECTED_ASSOCIATION = "rejected association"
    ENDED_CONNECTION = "ended connection"
    REFUSED_INSTANCE = "refused instance"
    CONFLICTING_INSTANCE = "conflicting instance"
    CORRECTED_STUDY = "corrected study"
    UNREADABLE_SPOOL_FILE = "unreadable file in the spool"
    DAMAGED_SPOOL_FILE = "damaged file in the spool"
    COMMITMENT_NOT_REPORTED = "commitment not reported"  #: older ledgers: "commitment not told"
    COMMITMENT_REPORT_REFUSED = "commitment report refused"
    CASE_LOOKED_UP = "case looked up"
    CASES_SEARCHED = "cases searched"
    PATIENT_FORGOTTEN = "patient forgotten"
    METRICS_NOT_SERVED = "metrics not served"
    PROCESS_SILENT = "process without a sign of life"
    PROCESS_STALLED = "process without progress"
    LISTENER_ENDED = "process that does not listen"
    FINDINGS_NOT_LOADED = "findings not loaded"
    REPORT_WITHOUT_STUDY = "report without study"
    REPORT_REFUSED = "refused report"

    @property
    def meaning(self) -> str:
        """Return what happened, and what a PACS administrator can do, in one or two sentences."""
        return MEANINGS[self]


MEANINGS = {
    IncidentKind.REJECTED_ASSOCIATION: (
        "A peer was rejected before it sent an instance: its AE title, address, certificate or "
        "token is not configured, its association request cannot be read, or a limit was reached. "
        "If the peer should send, add it to `receiver.calling`, `receiver.peers` or "
        "`receiver.stow.senders`."
    ),
    IncidentKind.ENDED_CONNECTION: (
        "The receiver ended a connection or an association: the peer was silent or too slow, or "
        "sent what DICOM does not allow. A load balancer or a port scanner is silent. If the "
        "address is that of a modality or a PACS, check it and the network; the sender keeps each "
        "instance that was not answered with success."
    ),
    IncidentKind.REFUSED_INSTANCE: (
        "An instance was not stored; its sender got a failure status and keeps it. The detail "
        "states why; a file, if any, is in quarantine."
    ),
    IncidentKind.CONFLICTING_INSTANCE: (
        "Instances have the same SOP Instance UID but different content, or are in different "
        "studies; one incident for each study. A UID identifies one instance (PS3.5 9): correct it "
        "in the sending system, under new UIDs. If it corrects studies under the same UIDs, "
        "`receiver.corrected_study: revise` assesses what came last."
    ),
    IncidentKind.CORRECTED_STUDY: (
        "A study came again with other content under the same SOP Instance UIDs. The images that "
        "came last are assessed in a new revision (`receiver.corrected_study`); the earlier ones "
        "are kept until retention removes the study."
    ),
    IncidentKind.UNREADABLE_SPOOL_FILE: (
        "A file of the spool cannot be read. Check the disk; the next start tries again."
    ),
    IncidentKind.DAMAGED_SPOOL_FILE: (
        "A file of the spool is no usable instance. It was moved to quarantine; send the instance "
        "again."
    ),
    IncidentKind.COMMITMENT_NOT_REPORTED: (
        "A storage commitment report was not acknowledged by its requestor, and is not sent again. "
        "Check the requestor's address in `receiver.peers`, then request commitment again."
    ),
    IncidentKind.COMMITMENT_REPORT_REFUSED: (
        "A peer sent a storage commitment report that answers no request to this peer."
    ),
    IncidentKind.CASE_LOOKED_UP: "A user opened a past case; access is logged.",
    IncidentKind.CASES_SEARCHED: "A user searched the past cases; access is logged.",
    IncidentKind.PATIENT_FORGOTTEN: "A user removed the cases of a patient with `triage forget`.",
    IncidentKind.METRICS_NOT_SERVED: (
        "The port of `metrics` could not be opened when the receiver started. It receives without "
        "metrics. Correct `metrics` in the settings, then restart."
    ),
    IncidentKind.PROCESS_SILENT: (
        "A process of `triage serve` gave no sign of life for `worker.silent_s`: it was stopped, "
        "or one call held it up. It was killed and started again. A study that it assessed is "
        "tried once more, and set aside if its next worker is lost as well. If this repeats, check "
        "memory and load of the machine."
    ),
    IncidentKind.PROCESS_STALLED: (
        "The work of a process of `triage serve` made no progress for `worker.stalled_s`. It was "
        "killed and started again. A study that it assessed is tried once more, and set aside if "
        "its next worker is lost as well. Look in the log for what the process did last."
    ),
    IncidentKind.LISTENER_ENDED: (
        "A listener of the receiver had ended. The receiver was killed and started again. Look in "
        "the log for the error that ended the listener."
    ),
    IncidentKind.FINDINGS_NOT_LOADED: (
        "A worker could not load the findings after a change, and assesses with the earlier ones; "
        "its reports name their versions. Correct or undo the change that the detail names "
        "(`triage findings undo`). If a worker still runs an earlier release, restart it."
    ),
    IncidentKind.REPORT_WITHOUT_STUDY: (
        "A radiologist's report was acknowledged and its outcomes were not stored, because no "
        "study, or more than one, has its number or Study Instance UID. Reports on studies that "
        "are not sent here are usual; if no report has its study, correct `receiver.hl7.numbers`."
    ),
    IncidentKind.REPORT_REFUSED: (
        "An HL7 message was not accepted; its sender got a negative acknowledgement with the same "
        "sentence, or none. If the sender should send reports, add it to `receiver.hl7.senders`."
    ),
}


def describe_correction(study_uid: str) -> str:
    """Return the beginning of the detail of an incident about other content under known UIDs."""
    return f"study {study_uid} came again with other content under the same SOP Instance UIDs"


#: Kinds that form the access log of the past cases.
CASE_ACCESS = (IncidentKind.CASE_LOOKED_UP, IncidentKind.CASES_SEARCHED)


class RejectionReason(StrEnum):
    """Why an association or a connection was rejected or ended, without identifying the peer.

    The values are labels of the metric `triage_associations_rejected`; never change one.
    """

    CALLING = "calling AE title, address or certificate"
    CALLED = "called AE title"
    LIMIT = "too many associations"
    TLS = "TLS"
    CONNECTIONS = "too many connections"
    MALFORMED = "association request that cannot be read"
    SILENT = "no association request in time"
    SLOW = "PDU too slow"
    IDLE = "association idle"
    PROTOCOL = "PDU that DICOM does not allow"
    DEFECT = "defect"

    @property
    def incident(self) -> IncidentKind:
        """Return the kind of the incident that is reported for this reason."""
        return (
            IncidentKind.ENDED_CONNECTION if self in ENDINGS else IncidentKind.REJECTED_ASSOCIATION
        )


#: Reasons for which a connection is ended that was not rejected.
ENDINGS = frozenset(
    {
        RejectionReason.SILENT,
        RejectionReason.SLOW,
        RejectionReason.IDLE,
        RejectionReason.PROTOCOL,
    }
)


@dataclass(frozen=True)
class Incident:
    """An incident as it is counted: two are the same if all their fields are equal."""

    kind: IncidentKind
    detail: str  #: a sentence for a PACS administrator
    source: Source
    #: The peer presented an HTTP credential that was refused; audited as a failed login
    #: (PS3.15 A.5.3.12) and not as a security alert (A.5.3.11).
    is_login: bool = False
