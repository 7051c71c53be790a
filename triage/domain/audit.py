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
class Code:
    """A coded value."""

    value: str
    meaning: str
    scheme: str = DCM


APPLICATION_ACTIVITY = Code("110100", "Application Activity")
BEGIN_TRANSFERRING = Code("110102", "Begin Transferring DICOM Instances")
INSTANCES_TRANSFERRED = Code("110104", "DICOM Instances Transferred")
STUDY_DELETED = Code("110105", "DICOM Study Deleted")
EXPORT = Code("110106", "Export")
PATIENT_RECORD = Code("110110", "Patient Record")
QUERY = Code("110112", "Query")
SECURITY_ALERT = Code("110113", "Security Alert")
USER_AUTHENTICATION = Code("110114", "User Authentication")

APPLICATION_START = Code("110120", "Application Start")
APPLICATION_STOP = Code("110121", "Application Stop")
LOGIN = Code("110122", "Login")
NODE_AUTHENTICATION = Code("110126", "Node Authentication")
RECORDING_STOPPED = Code("110133", "Audit Recording Stopped")

APPLICATION = Code("110150", "Application")
DESTINATION = Code("110152", "Destination Role ID")
SOURCE = Code("110153", "Source Role ID")
DESTINATION_MEDIA = Code("110154", "Destination Media")
URI_MEDIA = Code("110037", "URI")

STUDY_UID = Code("110180", "Study Instance UID")
SOP_CLASS_UID = Code("110181", "SOP Class UID")
NODE_ID = Code("110182", "Node ID")
PATIENT_NUMBER = Code("2", "Patient Number", RFC_3881)
SEARCH_CRITERIA = Code("10", "Search Criteria", RFC_3881)


class Action(StrEnum):
    """EventActionCode."""

    CREATE = "C"
    READ = "R"
    DELETE = "D"
    EXECUTE = "E"


class Outcome(IntEnum):
    """EventOutcomeIndicator."""

    SUCCESS = 0
    MINOR = 4  #: it is tried again, or what was tried was prevented
    SERIOUS = 8  #: it was given up
    MAJOR = 12


class Kind(IntEnum):
    """ParticipantObjectTypeCode."""

    PERSON = 1
    SYSTEM = 2


class Part(IntEnum):
    """ParticipantObjectTypeCodeRole."""

    PATIENT = 1
    REPORT = 3
    SECURITY_RESOURCE = 13
    QUERY = 24


@dataclass(frozen=True)
class Participant:
    """Somebody, or some program, who takes part."""

    user_id: str
    roles: tuple[Code, ...] = ()
    is_requestor: bool = False
    ae_titles: tuple[str, ...] = ()
    address: str = ""  #: a host's name or IP address, or a URI where `media` says so
    media: Code | None = None


@dataclass(frozen=True)
class Ourselves:
    """This process, which the trail knows best."""

    roles: tuple[Code, ...] = ()
    is_requestor: bool = False


@dataclass(frozen=True)
class Thing:
    """What the event is about (ParticipantObjectIdentification)."""

    id: str
    id_type: Code
    kind: Kind
    part: Part
    query: bytes | None = None
    details: tuple[tuple[str, bytes], ...] = ()
    instances: tuple[tuple[str, int], ...] = ()  #: SOP class UIDs ("": not known), and how many


@dataclass(frozen=True)
class AuditEvent:
    """One event; when it was is the trail's to say."""

    event: Code
    action: Action
    participants: tuple[Participant | Ourselves, ...]
    things: tuple[Thing, ...] = ()
    type: Code | None = None
    outcome: Outcome = Outcome.SUCCESS
    why: str = ""  #: EventOutcomeDescription


@dataclass(frozen=True)
class Study:
    """A study, as far as its patient and its instances matter here."""

    uid: str
    patient_id: str = ""
    instances: Mapping[str, int] | None = None  #: how many of each SOP class; None: not said


@dataclass(frozen=True)
class Peer:
    """Who is at the other end."""

    name: str  #: an AE title, or what the settings call it
    address: str = ""
    is_dicom: bool = True  #: what goes to another is an export
    ae_title: str = ""


class Unrecorded:
    """See `ports.AuditTrail`: a site that keeps none."""

    def record(self, event: AuditEvent) -> None:
        """Forget it."""


def started(name: str) -> AuditEvent:
    """A.5.3.1: a service has started."""
    return _activity(name, APPLICATION_START)


def stopped(name: str) -> AuditEvent:
    """A.5.3.1: a service has ended, other than by a crash."""
    return _activity(name, APPLICATION_STOP)


def _activity(name: str, kind: Code) -> AuditEvent:
    return AuditEvent(
        APPLICATION_ACTIVITY,
        Action.EXECUTE,
        (Ourselves((APPLICATION,)), Participant(name, is_requestor=True)),
        type=kind,
    )


def received(
    study: Study, sender: Peer, outcome: Outcome = Outcome.SUCCESS, *, asked: bool = False
) -> AuditEvent:
    """A.5.3.7: instances of a study came, from somebody who sent them, or whom we asked."""
    return AuditEvent(
        INSTANCES_TRANSFERRED,
        Action.CREATE,
        (
            _at(sender, SOURCE, is_requestor=not asked),
            Ourselves((DESTINATION,), is_requestor=asked),
        ),
        _of(study),
        outcome=outcome,
    )


def sending(study: Study, destination: Peer) -> AuditEvent:
    """A.5.3.3: instances are about to be sent."""
    return _sent(BEGIN_TRANSFERRING, Action.EXECUTE, study, destination)


def sent(
    study: Study, destination: Peer, outcome: Outcome = Outcome.SUCCESS, why: str = ""
) -> AuditEvent:
    """A.5.3.7, or A.5.3.4 where it left DICOM: something was sent, or could not be."""
    if destination.is_dicom:
        event = _sent(INSTANCES_TRANSFERRED, Action.READ, study, destination)
    else:
        event = _exported(study, destination)
    return replace(event, outcome=outcome, why=why)


def _sent(event: Code, action: Action, study: Study, destination: Peer) -> AuditEvent:
    ours = Ourselves((SOURCE,), is_requestor=True)
    return AuditEvent(event, action, (ours, _at(destination, DESTINATION)), _of(study))


def _exported(study: Study, destination: Peer) -> AuditEvent:
    media = Participant(
        destination.name,
        (DESTINATION_MEDIA,),
        address=destination.address,
        media=URI_MEDIA,
    )
    ours = Ourselves((SOURCE,), is_requestor=True)
    return AuditEvent(EXPORT, Action.READ, (ours, media), _of(study))


def queried(
    archive: Peer, query: bytes, sop_class_uid: str = "", transfer_syntax_uid: str = ""
) -> AuditEvent:
    """A.5.3.10: we asked an archive, over C-FIND by a SOP class, else over HTTP."""
    syntax = (("TransferSyntax", transfer_syntax_uid.encode()),) if transfer_syntax_uid else ()
    asked = (
        Thing(sop_class_uid, SOP_CLASS_UID, Kind.SYSTEM, Part.REPORT, query, syntax)
        if sop_class_uid
        else Thing("QIDO-RS", SEARCH_CRITERIA, Kind.SYSTEM, Part.QUERY, query)
    )
    ours = Ourselves((SOURCE,), is_requestor=True)
    return AuditEvent(QUERY, Action.EXECUTE, (ours, _at(archive, DESTINATION)), (asked,))


def searched(user: str, what: str) -> AuditEvent:
    """A.5.3.10: a person asked for past cases; `what` has no words of theirs."""
    asked = Thing("past cases", SEARCH_CRITERIA, Kind.SYSTEM, Part.QUERY, what.encode())
    return AuditEvent(
        QUERY,
        Action.EXECUTE,
        (Participant(user, (SOURCE,), is_requestor=True), Ourselves((DESTINATION,))),
        (asked,),
    )


def logged_in(user: str, address: str, why_not: str = "") -> AuditEvent:
    """A.5.3.12: somebody has shown a password or token, or has failed to."""
    return AuditEvent(
        USER_AUTHENTICATION,
        Action.EXECUTE,
        (Participant(user, is_requestor=True, address=address), Ourselves()),
        type=LOGIN,
        outcome=Outcome.MINOR if why_not else Outcome.SUCCESS,
        why=why_not,
    )


def turned_away(who: Peer, why: str) -> AuditEvent:
    """A.5.3.11: somebody was kept out, so the alert is of a minor failure: nothing came of it."""
    node = Thing(
        who.address or NOT_KNOWN,
        NODE_ID,
        Kind.SYSTEM,
        Part.SECURITY_RESOURCE,
        details=(("Alert Description", why.encode()),),
    )
    return AuditEvent(
        SECURITY_ALERT,
        Action.EXECUTE,
        (Ourselves(is_requestor=True), _at(who, None)),
        (node,),
        NODE_AUTHENTICATION,
        Outcome.MINOR,
        why,
    )


def gap(events: int) -> AuditEvent:
    """A.5.3.11: so many events were not recorded, for there was no room for them."""
    why = f"{events} event(s) were not recorded: the audit repository was away for too long"
    return AuditEvent(
        SECURITY_ALERT,
        Action.EXECUTE,
        (Ourselves(is_requestor=True),),
        (),
        RECORDING_STOPPED,
        Outcome.MAJOR,
        why,
    )


def forgotten(patient_id: str, user: str, study_uid: str = "") -> AuditEvent:
    """A.5.3.14: a patient was taken out of the past cases, by number or by one of their studies."""
    of_study = (Thing(study_uid, STUDY_UID, Kind.SYSTEM, Part.REPORT),) if study_uid else ()
    return AuditEvent(
        PATIENT_RECORD,
        Action.DELETE,
        (Participant(user, is_requestor=True), Ourselves()),
        (*of_study, _patient(patient_id)),
    )


def deleted(study: Study, user: str = "") -> AuditEvent:
    """A.5.3.8: a study was deleted, by a person or by the rules of retention."""
    who = (Participant(user, is_requestor=True),) if user else ()
    return AuditEvent(
        STUDY_DELETED, Action.DELETE, (*who, Ourselves(is_requestor=not user)), _of(study)
    )


def _at(peer: Peer, role: Code | None, *, is_requestor: bool = False) -> Participant:
    return Participant(
        peer.name or peer.address or NOT_KNOWN,
        (role,) if role else (),
        is_requestor=is_requestor,
        ae_titles=(peer.ae_title,) if peer.ae_title else (),
        address=peer.address,
    )


def _of(study: Study) -> tuple[Thing, ...]:
    counted = tuple(sorted((study.instances or {}).items()))
    named = Thing(study.uid, STUDY_UID, Kind.SYSTEM, Part.REPORT, instances=counted)
    return named, _patient(study.patient_id)


def _patient(patient_id: str) -> Thing:
    return Thing(patient_id or NOT_KNOWN, PATIENT_NUMBER, Kind.PERSON, Part.PATIENT)
