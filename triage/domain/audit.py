"""Audit events (DICOM PS3.15 A.5.3): actor, action, study and outcome.

    Application Activity           a service starts, or ends
    DICOM Instances Transferred    studies received, and reports that a PACS has acknowledged
    Begin Transferring             reports that are about to be sent
    Export                         reports sent outside DICOM: to a folder, a webhook, over HL7
    Query                          our queries to archives, and searches of users in past cases
    User Authentication            logins and failed logins
    Security Alert                 rejected peers; changes of findings; a gap in the audit trail
    Patient Record                 a patient removed from the past cases
    DICOM Study Deleted            a study whose instances were removed

A message about a study contains the Patient ID, which the standard requires; no message contains a
patient's name or a password. The codes are those of PS3.16 CID 400 to 405.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

DCM, RFC_3881 = "DCM", "RFC-3881"
NOT_KNOWN = "(not known)"  #: in place of a Patient ID that is no longer known


@dataclass(frozen=True)
class AuditCode:
    """A coded value."""

    value: str
    meaning: str
    scheme: str = DCM


APPLICATION_ACTIVITY = AuditCode("110100", "Application Activity")
BEGIN_TRANSFERRING = AuditCode("110102", "Begin Transferring DICOM Instances")
INSTANCES_TRANSFERRED = AuditCode("110104", "DICOM Instances Transferred")
STUDY_DELETED = AuditCode("110105", "DICOM Study Deleted")
EXPORT = AuditCode("110106", "Export")
PATIENT_RECORD = AuditCode("110110", "Patient Record")
QUERY = AuditCode("110112", "Query")
SECURITY_ALERT = AuditCode("110113", "Security Alert")
USER_AUTHENTICATION = AuditCode("110114", "User Authentication")

APPLICATION_START = AuditCode("110120", "Application Start")
APPLICATION_STOP = AuditCode("110121", "Application Stop")
LOGIN = AuditCode("110122", "Login")
NODE_AUTHENTICATION = AuditCode("110126", "Node Authentication")
SOFTWARE_CONFIGURATION = AuditCode("110131", "Software Configuration")
RECORDING_STOPPED = AuditCode("110133", "Audit Recording Stopped")

APPLICATION = AuditCode("110150", "Application")
DESTINATION = AuditCode("110152", "Destination Role ID")
SOURCE = AuditCode("110153", "Source Role ID")
DESTINATION_MEDIA = AuditCode("110154", "Destination Media")
URI_MEDIA = AuditCode("110037", "URI")

STUDY_UID = AuditCode("110180", "Study Instance UID")
SOP_CLASS_UID = AuditCode("110181", "SOP Class UID")
NODE_ID = AuditCode("110182", "Node ID")
PATIENT_NUMBER = AuditCode("2", "Patient Number", RFC_3881)
URI = AuditCode("12", "URI", RFC_3881)
SEARCH_CRITERIA = AuditCode("10", "Search Criteria", RFC_3881)


class AuditAction(StrEnum):
    """EventActionCode."""

    CREATE = "C"
    READ = "R"
    DELETE = "D"
    EXECUTE = "E"


class AuditOutcome(IntEnum):
    """EventOutcomeIndicator."""

    SUCCESS = 0
    MINOR = 4  #: it will be retried, or an attempt was prevented
    SERIOUS = 8  #: it was given up
    MAJOR = 12


class ObjectType(IntEnum):
    """ParticipantObjectTypeCode."""

    PERSON = 1
    SYSTEM = 2


class ObjectRole(IntEnum):
    """ParticipantObjectTypeCodeRole."""

    PATIENT = 1
    REPORT = 3
    SECURITY_RESOURCE = 13
    QUERY = 24


@dataclass(frozen=True)
class Participant:
    """A person or program that takes part in an event."""

    user_id: str
    roles: tuple[AuditCode, ...] = ()
    is_requestor: bool = False
    ae_titles: tuple[str, ...] = ()
    address: str = ""  #: host name or IP address, or a URI if `media` is URI_MEDIA
    media: AuditCode | None = None


@dataclass(frozen=True)
class AuditSource:
    """This process; the audit trail adds its identity."""

    roles: tuple[AuditCode, ...] = ()
    is_requestor: bool = False


@dataclass(frozen=True)
class AuditObject:
    """The object of an event (ParticipantObjectIdentification)."""

    id: str
    id_type: AuditCode
    kind: ObjectType
    role: ObjectRole
    query: bytes | None = None
    details: tuple[tuple[str, bytes], ...] = ()
    instances: tuple[tuple[str, int], ...] = ()  #: SOP class UIDs ("": not known) with counts


@dataclass(frozen=True)
class AuditEvent:
    """One audit event; the audit trail adds the time."""

    event: AuditCode
    action: AuditAction
    participants: tuple[Participant | AuditSource, ...]
    objects: tuple[AuditObject, ...] = ()
    type: AuditCode | None = None
    outcome: AuditOutcome = AuditOutcome.SUCCESS
    description: str = ""  #: EventOutcomeDescription


@dataclass(frozen=True)
class AuditedStudyObject:
    """A study with its patient and its numbers of instances."""

    uid: str
    patient_id: str = ""
    instances: Mapping[str, int] | None = None  #: counts by SOP class; None: not stated


@dataclass(frozen=True)
class AuditPeer:
    """The remote peer of an event."""

    name: str  #: an AE title, or the name in the settings
    address: str = ""
    is_dicom: bool = True  #: False: sending to the peer is an export
    ae_title: str = ""


class NoAuditTrail:
    """The audit trail of a site that keeps none; implements `ports.audit.AuditTrail`."""

    def record(self, event: AuditEvent) -> None:
        """Discard the event."""


def build_start_event(name: str) -> AuditEvent:
    """A.5.3.1: a service has started."""
    return _build_activity_event(name, APPLICATION_START)


def build_stop_event(name: str) -> AuditEvent:
    """A.5.3.1: a service has ended normally."""
    return _build_activity_event(name, APPLICATION_STOP)


def _build_activity_event(name: str, kind: AuditCode) -> AuditEvent:
    return AuditEvent(
        APPLICATION_ACTIVITY,
        AuditAction.EXECUTE,
        (AuditSource((APPLICATION,)), Participant(name, is_requestor=True)),
        type=kind,
    )


def build_receipt_event(
    study: AuditedStudyObject,
    sender: AuditPeer,
    outcome: AuditOutcome = AuditOutcome.SUCCESS,
    *,
    asked: bool = False,
) -> AuditEvent:
    """A.5.3.7: instances of a study arrived, sent by a peer or retrieved by us."""
    return AuditEvent(
        INSTANCES_TRANSFERRED,
        AuditAction.CREATE,
        (
            _describe_peer(sender, SOURCE, is_requestor=not asked),
            AuditSource((DESTINATION,), is_requestor=asked),
        ),
        _describe_study(study),
        outcome=outcome,
    )


def build_sending_event(study: AuditedStudyObject, destination: AuditPeer) -> AuditEvent:
    """A.5.3.3: instances are about to be sent."""
    return _build_dicom_transfer(BEGIN_TRANSFERRING, AuditAction.EXECUTE, study, destination)


def build_transfer_event(
    study: AuditedStudyObject,
    destination: AuditPeer,
    outcome: AuditOutcome = AuditOutcome.SUCCESS,
    why: str = "",
) -> AuditEvent:
    """A.5.3.7, or A.5.3.4 outside DICOM: a report was sent, or could not be sent."""
    if destination.is_dicom:
        event = _build_dicom_transfer(INSTANCES_TRANSFERRED, AuditAction.READ, study, destination)
    else:
        event = _build_export_event(study, destination)
    return replace(event, outcome=outcome, description=why)


def _build_dicom_transfer(
    event: AuditCode, action: AuditAction, study: AuditedStudyObject, destination: AuditPeer
) -> AuditEvent:
    ours = AuditSource((SOURCE,), is_requestor=True)
    return AuditEvent(
        event, action, (ours, _describe_peer(destination, DESTINATION)), _describe_study(study)
    )


def _build_export_event(study: AuditedStudyObject, destination: AuditPeer) -> AuditEvent:
    media = Participant(
        destination.name,
        (DESTINATION_MEDIA,),
        address=destination.address,
        media=URI_MEDIA,
    )
    ours = AuditSource((SOURCE,), is_requestor=True)
    return AuditEvent(EXPORT, AuditAction.READ, (ours, media), _describe_study(study))


def build_query_event(
    archive: AuditPeer, query: bytes, sop_class_uid: str = "", transfer_syntax_uid: str = ""
) -> AuditEvent:
    """A.5.3.10: a query to an archive, over C-FIND with a SOP class, otherwise over HTTP."""
    syntax = (("TransferSyntax", transfer_syntax_uid.encode()),) if transfer_syntax_uid else ()
    asked = (
        AuditObject(
            sop_class_uid, SOP_CLASS_UID, ObjectType.SYSTEM, ObjectRole.REPORT, query, syntax
        )
        if sop_class_uid
        else AuditObject("QIDO-RS", SEARCH_CRITERIA, ObjectType.SYSTEM, ObjectRole.QUERY, query)
    )
    ours = AuditSource((SOURCE,), is_requestor=True)
    return AuditEvent(
        QUERY, AuditAction.EXECUTE, (ours, _describe_peer(archive, DESTINATION)), (asked,)
    )


def build_case_search_event(user: str, what: str) -> AuditEvent:
    """A.5.3.10: a user searched past cases; `what` does not contain the search text."""
    asked = AuditObject(
        "past cases", SEARCH_CRITERIA, ObjectType.SYSTEM, ObjectRole.QUERY, what.encode()
    )
    return AuditEvent(
        QUERY,
        AuditAction.EXECUTE,
        (Participant(user, (SOURCE,), is_requestor=True), AuditSource((DESTINATION,))),
        (asked,),
    )


def build_login_event(user: str, address: str, why_not: str = "") -> AuditEvent:
    """A.5.3.12: a login with password or token, successful or not."""
    return AuditEvent(
        USER_AUTHENTICATION,
        AuditAction.EXECUTE,
        (Participant(user, is_requestor=True, address=address), AuditSource()),
        type=LOGIN,
        outcome=AuditOutcome.MINOR if why_not else AuditOutcome.SUCCESS,
        description=why_not,
    )


def build_rejection_event(peer: AuditPeer, why: str) -> AuditEvent:
    """A.5.3.11: a peer was rejected, a minor failure because the attempt was prevented."""
    node = AuditObject(
        peer.address or NOT_KNOWN,
        NODE_ID,
        ObjectType.SYSTEM,
        ObjectRole.SECURITY_RESOURCE,
        details=(("Alert Description", why.encode()),),
    )
    return AuditEvent(
        SECURITY_ALERT,
        AuditAction.EXECUTE,
        (AuditSource(is_requestor=True), _describe_peer(peer, None)),
        (node,),
        NODE_AUTHENTICATION,
        AuditOutcome.MINOR,
        why,
    )


def build_finding_event(
    finding: str,
    what: str,
    user: str,
    outcome: AuditOutcome = AuditOutcome.SUCCESS,
) -> AuditEvent:
    """A.5.3.11: a user changed a finding; `what` names version, change, state and digest."""
    changed = AuditObject(
        f"finding:{finding}",
        URI,
        ObjectType.SYSTEM,
        ObjectRole.SECURITY_RESOURCE,
        details=(("Alert Description", what.encode()),),
    )
    return AuditEvent(
        SECURITY_ALERT,
        AuditAction.EXECUTE,
        (Participant(user, is_requestor=True), AuditSource()),
        (changed,),
        SOFTWARE_CONFIGURATION,
        outcome,
        "" if outcome is AuditOutcome.SUCCESS else "another change came first",
    )


def build_gap_event(events: int) -> AuditEvent:
    """A.5.3.11: this number of events was not recorded for lack of space."""
    why = f"{events} event(s) were not recorded: the audit repository was unreachable for too long"
    return AuditEvent(
        SECURITY_ALERT,
        AuditAction.EXECUTE,
        (AuditSource(is_requestor=True),),
        (),
        RECORDING_STOPPED,
        AuditOutcome.MAJOR,
        why,
    )


def build_erasure_event(patient_id: str, user: str, study_uid: str = "") -> AuditEvent:
    """A.5.3.14: a patient was removed from the past cases, by Patient ID or by study."""
    of_study = (
        (AuditObject(study_uid, STUDY_UID, ObjectType.SYSTEM, ObjectRole.REPORT),)
        if study_uid
        else ()
    )
    return AuditEvent(
        PATIENT_RECORD,
        AuditAction.DELETE,
        (Participant(user, is_requestor=True), AuditSource()),
        (*of_study, _describe_patient(patient_id)),
    )


def build_deletion_event(study: AuditedStudyObject, user: str = "") -> AuditEvent:
    """A.5.3.8: a study was deleted, by a user or by retention."""
    deleting = (Participant(user, is_requestor=True),) if user else ()
    return AuditEvent(
        STUDY_DELETED,
        AuditAction.DELETE,
        (*deleting, AuditSource(is_requestor=not user)),
        _describe_study(study),
    )


def _describe_peer(
    peer: AuditPeer, role: AuditCode | None, *, is_requestor: bool = False
) -> Participant:
    return Participant(
        peer.name or peer.address or NOT_KNOWN,
        (role,) if role else (),
        is_requestor=is_requestor,
        ae_titles=(peer.ae_title,) if peer.ae_title else (),
        address=peer.address,
    )


def _describe_study(study: AuditedStudyObject) -> tuple[AuditObject, ...]:
    counted = tuple(sorted((study.instances or {}).items()))
    named = AuditObject(
        study.uid, STUDY_UID, ObjectType.SYSTEM, ObjectRole.REPORT, instances=counted
    )
    return named, _describe_patient(study.patient_id)


def _describe_patient(patient_id: str) -> AuditObject:
    return AuditObject(
        patient_id or NOT_KNOWN, PATIENT_NUMBER, ObjectType.PERSON, ObjectRole.PATIENT
    )
