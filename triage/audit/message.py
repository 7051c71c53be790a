"""An event as the XML of PS3.15 A.5.1, in one line of syslog (RFC 5424, PS3.15 A.6).

Rule: what strangers chose, as an AE title, cannot leave its attribute, its line or XML. Every kind
of message is held against the schema by a test.
"""

import base64
import os
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from xml.etree.ElementTree import Element, SubElement, tostring

from triage.domain.audit import (
    AuditCode,
    AuditEvent,
    AuditObject,
    AuditOutcome,
    AuditSource,
    Participant,
)

FACILITY = 10  #: PS3.15 A.6: security and authorisation messages
NOTICE, WARNING = 5, 4  #: PS3.15 A.6: of what went well, and of what did not
MSGID = "DICOM+RFC3881"  #: PS3.15 A.6
APP_NAME = "cmr-triage"
BOM = b"\xef\xbb\xbf"  #: RFC 5424 6.4: what follows is UTF-8
LONGEST = 1000  #: characters of a text; a message stays far below what any repository takes
MACHINE_NAME, IP_ADDRESS, URI = "1", "2", "5"  #: NetworkAccessPointTypeCode
APPLICATION_SERVER = "4"  #: AuditSourceTypeCode
#: Not in XML 1.0, or not in one line.
UNFIT = re.compile("[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Author:
    """Who tells: this process, and the system that it is part of."""

    source: str  #: AuditSourceID
    site: str = ""  #: AuditEnterpriseSiteID
    ae_title: str = ""
    host: str = field(default_factory=socket.gethostname)
    process_id: int = field(default_factory=os.getpid)


def line(event: AuditEvent, author: Author, at: float) -> bytes:
    """Return a message without a line's end; `at` is seconds since the epoch."""
    severity = NOTICE if event.outcome is AuditOutcome.SUCCESS else WARNING
    header = (
        f"<{FACILITY * 8 + severity}>1 {_time(at)} {_name(author.host, 255)} {APP_NAME} "
        f"{author.process_id} {MSGID} - "
    )
    return header.encode("ascii") + BOM + xml(event, author, at)


def xml(event: AuditEvent, author: Author, at: float) -> bytes:
    """Return the AuditMessage of an event."""
    root = Element("AuditMessage")
    _identify(root, event, at)
    for each in event.participants:
        _add_participant(root, _with_us(each, author))
    _add_source(root, author)
    for thing in event.things:
        _add_thing(root, thing)
    return b'<?xml version="1.0" encoding="UTF-8"?>' + tostring(root, "unicode").encode()


def _identify(root: Element, event: AuditEvent, at: float) -> None:
    said = {
        "EventActionCode": event.action.value,
        "EventDateTime": _time(at),
        "EventOutcomeIndicator": str(event.outcome.value),
    }
    identification = SubElement(root, "EventIdentification", said)
    _add_code(identification, "EventID", event.event)
    if event.type is not None:
        _add_code(identification, "EventTypeCode", event.type)
    if event.why:
        SubElement(identification, "EventOutcomeDescription").text = _fit(event.why)


def _with_us(each: Participant | AuditSource, author: Author) -> Participant:
    """Return a participant; of this process with its number and AE title, PS3.15 A.5.2.1."""
    if isinstance(each, Participant):
        return each
    return Participant(
        str(author.process_id),
        each.roles,
        is_requestor=each.is_requestor,
        ae_titles=(author.ae_title,) if author.ae_title else (),
        address=author.host,
    )


def _add_participant(root: Element, each: Participant) -> None:
    said = {"UserID": _fit(each.user_id)}
    if each.ae_titles:  # PS3.15 A.5.2.2
        said["AlternativeUserID"] = _fit(f"AETITLES={';'.join(each.ae_titles)}")
    said["UserIsRequestor"] = "true" if each.is_requestor else "false"
    if each.address:
        said["NetworkAccessPointID"] = _fit(each.address)
        said["NetworkAccessPointTypeCode"] = URI if each.media else _point(each.address)
    participant = SubElement(root, "ActiveParticipant", said)
    for role in each.roles:
        _add_code(participant, "RoleIDCode", role)
    if each.media is not None:
        _add_code(SubElement(participant, "MediaIdentifier"), "MediaType", each.media)


def _add_source(root: Element, author: Author) -> None:
    said = {"AuditEnterpriseSiteID": _fit(author.site)} if author.site else {}
    said["AuditSourceID"] = _fit(author.source)
    source = SubElement(root, "AuditSourceIdentification", said)
    SubElement(source, "AuditSourceTypeCode", {"csd-code": APPLICATION_SERVER})


def _add_thing(root: Element, thing: AuditObject) -> None:
    said = {
        "ParticipantObjectID": _fit(thing.id),
        "ParticipantObjectTypeCode": str(thing.kind.value),
        "ParticipantObjectTypeCodeRole": str(thing.part.value),
    }
    identification = SubElement(root, "ParticipantObjectIdentification", said)
    _add_code(identification, "ParticipantObjectIDTypeCode", thing.id_type)
    if thing.query is None:  # the schema wants one of the two; no patient is named
        SubElement(identification, "ParticipantObjectName")
    else:
        SubElement(identification, "ParticipantObjectQuery").text = _base64(thing.query)
    for name, value in thing.details:
        said = {"type": name, "value": _base64(value)}
        SubElement(identification, "ParticipantObjectDetail", said)
    _describe(identification, thing.instances)


def _describe(identification: Element, instances: Sequence[tuple[str, int]]) -> None:
    if instances:
        description = SubElement(identification, "ParticipantObjectDescription")
        for uid, count in instances:
            said = {"UID": uid} if uid else {}
            SubElement(description, "SOPClass", said | {"NumberOfInstances": str(count)})


def _add_code(parent: Element, name: str, code: AuditCode) -> None:
    said = {"csd-code": code.value, "codeSystemName": code.scheme, "originalText": code.meaning}
    SubElement(parent, name, said)


def _time(at: float) -> str:
    """Return a time as both XML Schema and RFC 5424 write it, in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _point(address: str) -> str:
    try:
        ip_address(address)
    except ValueError:
        return MACHINE_NAME
    return IP_ADDRESS


def _fit(text: str) -> str:
    return UNFIT.sub("\ufffd", text)[:LONGEST]


def _name(text: str, longest: int) -> str:
    """Return a field of the header: printable ASCII without spaces (RFC 5424 6)."""
    return re.sub(r"[^!-~]", "?", text)[:longest] or "-"


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
