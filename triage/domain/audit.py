"""What an audit trail is told (DICOM PS3.15 A.5.3): who did what, to whose study, and how it ended.

    Application Activity           a service starts, or ends
    DICOM Instances Transferred    studies that came, and reports that a PACS has acknowledged
    Begin Transferring             reports that are about to be sent
    Export                         what leaves DICOM: to a folder, a program, over HL7
    Query                          what we ask archives, and what people ask of past cases
    User Authentication            who has logged in, or has tried
    Security Alert                 who was turned away; a gap in the trail itself
    Patient Record                 a patient who was forgotten
    DICOM Study Deleted            a study whose instances were removed

Rule: a study's message names its patient by the ID alone, for the standard demands one; no message
has a patient's name, and none a password. Codes are those of PS3.16 CID 400 to 405.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

DCM, RFC_3881 = "DCM", "RFC-3881"
NOT_KNOWN = "(not known)"  #: a patient's ID, where nobody can say it any more


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
    MINOR = 4  #: it is tried again, or what was tried was prevented
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
    """Somebody, or some program, who takes part."""

    user_id: str
    roles: tuple[AuditCode, ...] = ()
    is_requestor: bool = False
    ae_titles: tuple[str, ...] = ()
    address: str = ""  #: a host's name or IP address, or a URI where `media` says so
    media: AuditCode | None = None


@dataclass(frozen=True)
class AuditSource:
    """This process, which the trail knows best."""

    roles: tuple[AuditCode, ...] = ()
    is_requestor: bool = False


@dataclass(frozen=True)
class AuditObject:
    """What the event is about (ParticipantObjectIdentification)."""

    id: str
    id_type: AuditCode
    kind: ObjectType
    role: ObjectRole
    query: bytes | None = None
    details: tuple[tuple[str, bytes], ...] = ()
    instances: tuple[tuple[str, int], ...] = ()  #: SOP class UIDs ("": not known), and how many


@dataclass(frozen=True)
class AuditEvent:
    """One event; when it was is the trail's to say."""

    event: AuditCode
    action: AuditAction
    participants: tuple[Participant | AuditSource, ...]
    objects: tuple[AuditObject, ...] = ()
    type: AuditCode | None = None
    outcome: AuditOutcome = AuditOutcome.SUCCESS
    description: str = ""  #: EventOutcomeDescription


@dataclass(frozen=True)
class AuditedStudyObject:
    """A study, as far as its patient and its instances matter here."""

    uid: str
    patient_id: str = ""
    instances: Mapping[str, int] | None = None  #: how many of each SOP class; None: not said


@dataclass(frozen=True)
class AuditPeer:
    """Who is at the other end."""

    name: str  #: an AE title, or what the settings call it
    address: str = ""
    is_dicom: bool = True  #: what goes to another is an export
    ae_title: str = ""


class NoAuditTrail:
    """See `ports.AuditTrail`: a site that keeps none."""

    def record(self, event: AuditEvent) -> None:
        """Forget it."""


def build_start_event(name: str) -> AuditEvent:
    """A.5.3.1: a service has started."""
    return _activity(name, APPLICATION_START)


def build_stop_event(name: str) -> AuditEvent:
    """A.5.3.1: a service has ended, other than by a crash."""
    return _activity(name, APPLICATION_STOP)


def _activity(name: str, kind: AuditCode) -> AuditEvent:
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
    """A.5.3.7: instances of a study came, from somebody who sent them, or whom we asked."""
    return AuditEvent(
        INSTANCES_TRANSFERRED,
        AuditAction.CREATE,
        (
            _at(sender, SOURCE, is_requestor=not asked),
            AuditSource((DESTINATION,), is_requestor=asked),
        ),
        _of(study),
        outcome=outcome,
    )


def build_sending_event(study: AuditedStudyObject, destination: AuditPeer) -> AuditEvent:
    """A.5.3.3: instances are about to be sent."""
    return _sent(BEGIN_TRANSFERRING, AuditAction.EXECUTE, study, destination)


def build_transfer_event(
    study: AuditedStudyObject,
    destination: AuditPeer,
    outcome: AuditOutcome = AuditOutcome.SUCCESS,
    why: str = "",
) -> AuditEvent:
    """A.5.3.7, or A.5.3.4 where it left DICOM: something was sent, or could not be."""
    if destination.is_dicom:
        event = _sent(INSTANCES_TRANSFERRED, AuditAction.READ, study, destination)
    else:
        event = _exported(study, destination)
    return replace(event, outcome=outcome, description=why)


def _sent(
    event: AuditCode, action: AuditAction, study: AuditedStudyObject, destination: AuditPeer
) -> AuditEvent:
    ours = AuditSource((SOURCE,), is_requestor=True)
    return AuditEvent(event, action, (ours, _at(destination, DESTINATION)), _of(study))


def _exported(study: AuditedStudyObject, destination: AuditPeer) -> AuditEvent:
    media = Participant(
        destination.name,
        (DESTINATION_MEDIA,),
        address=destination.address,
        media=URI_MEDIA,
    )
    ours = AuditSource((SOURCE,), is_requestor=True)
    return AuditEvent(EXPORT, AuditAction.READ, (ours, media), _of(study))


def build_query_event(
    archive: AuditPeer, query: bytes, sop_class_uid: str = "", transfer_syntax_uid: str = ""
) -> AuditEvent:
    """A.5.3.10: we asked an archive, over C-FIND by a SOP class, else over HTTP."""
    syntax = (("TransferSyntax", transfer_syntax_uid.encode()),) if transfer_syntax_uid else ()
    asked = (
        AuditObject(
            sop_class_uid, SOP_CLASS_UID, ObjectType.SYSTEM, ObjectRole.REPORT, query, syntax
        )
        if sop_class_uid
        else AuditObject("QIDO-RS", SEARCH_CRITERIA, ObjectType.SYSTEM, ObjectRole.QUERY, query)
    )
    ours = AuditSource((SOURCE,), is_requestor=True)
    return AuditEvent(QUERY, AuditAction.EXECUTE, (ours, _at(archive, DESTINATION)), (asked,))


def build_case_search_event(user: str, what: str) -> AuditEvent:
    """A.5.3.10: a person asked for past cases; `what` has no words of theirs."""
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
    """A.5.3.12: somebody has shown a password or token, or has failed to."""
    return AuditEvent(
        USER_AUTHENTICATION,
        AuditAction.EXECUTE,
        (Participant(user, is_requestor=True, address=address), AuditSource()),
        type=LOGIN,
        outcome=AuditOutcome.MINOR if why_not else AuditOutcome.SUCCESS,
        description=why_not,
    )


def build_rejection_event(who: AuditPeer, why: str) -> AuditEvent:
    """A.5.3.11: somebody was kept out, so the alert is of a minor failure: nothing came of it."""
    node = AuditObject(
        who.address or NOT_KNOWN,
        NODE_ID,
        ObjectType.SYSTEM,
        ObjectRole.SECURITY_RESOURCE,
        details=(("Alert Description", why.encode()),),
    )
    return AuditEvent(
        SECURITY_ALERT,
        AuditAction.EXECUTE,
        (AuditSource(is_requestor=True), _at(who, None)),
        (node,),
        NODE_AUTHENTICATION,
        AuditOutcome.MINOR,
        why,
    )


def build_gap_event(events: int) -> AuditEvent:
    """A.5.3.11: so many events were not recorded, for there was no room for them."""
    why = f"{events} event(s) were not recorded: the audit repository was away for too long"
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
    """A.5.3.14: a patient was taken out of the past cases, by number or by one of their studies."""
    of_study = (
        (AuditObject(study_uid, STUDY_UID, ObjectType.SYSTEM, ObjectRole.REPORT),)
        if study_uid
        else ()
    )
    return AuditEvent(
        PATIENT_RECORD,
        AuditAction.DELETE,
        (Participant(user, is_requestor=True), AuditSource()),
        (*of_study, _patient(patient_id)),
    )


def build_deletion_event(study: AuditedStudyObject, user: str = "") -> AuditEvent:
    """A.5.3.8: a study was deleted, by a person or by the rules of retention."""
    who = (Participant(user, is_requestor=True),) if user else ()
    return AuditEvent(
        STUDY_DELETED, AuditAction.DELETE, (*who, AuditSource(is_requestor=not user)), _of(study)
    )


def _at(peer: AuditPeer, role: AuditCode | None, *, is_requestor: bool = False) -> Participant:
    return Participant(
        peer.name or peer.address or NOT_KNOWN,
        (role,) if role else (),
        is_requestor=is_requestor,
        ae_titles=(peer.ae_title,) if peer.ae_title else (),
        address=peer.address,
    )


def _of(study: AuditedStudyObject) -> tuple[AuditObject, ...]:
    counted = tuple(sorted((study.instances or {}).items()))
    named = AuditObject(
        study.uid, STUDY_UID, ObjectType.SYSTEM, ObjectRole.REPORT, instances=counted
    )
    return named, _patient(study.patient_id)


def _patient(patient_id: str) -> AuditObject:
    return AuditObject(
        patient_id or NOT_KNOWN, PATIENT_NUMBER, ObjectType.PERSON, ObjectRole.PATIENT
    )
