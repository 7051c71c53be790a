"""An event as the XML of PS3.15 A.5.1, in one line of syslog (RFC 5424, PS3.15 A.6).

Text that a peer chose, such as an AE title, is escaped and cut so that it cannot break out of its
attribute, its line or the XML.

Invariants:
    Every kind of message is valid against the schema, whatever text a peer sends:
    tests/unit/audit/test_message.py.
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
NOTICE, WARNING = 5, 4  #: PS3.15 A.6: severity of a success, and of a failure
MSGID = "DICOM+RFC3881"  #: PS3.15 A.6
APP_NAME = "cmr-triage"
BOM = b"\xef\xbb\xbf"  #: RFC 5424 6.4: the message part is UTF-8
LONGEST = 1000  #: characters of a text; keeps a message far below the limit of any repository
MACHINE_NAME, IP_ADDRESS, URI = "1", "2", "5"  #: NetworkAccessPointTypeCode
APPLICATION_SERVER = "4"  #: AuditSourceTypeCode
#: Characters that XML 1.0 forbids, or that end a line.
FORBIDDEN = re.compile("[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class AuditAuthor:
    """The author of audit messages: this process, and the system that it is part of."""

    source: str  #: AuditSourceID
    site: str = ""  #: AuditEnterpriseSiteID
    ae_title: str = ""
    host: str = field(default_factory=socket.gethostname)
    process_id: int = field(default_factory=os.getpid)


def syslog_line(event: AuditEvent, author: AuditAuthor, at: float) -> bytes:
    """Return an event as a line of syslog, without line end; `at` is seconds since the epoch."""
    severity = NOTICE if event.outcome is AuditOutcome.SUCCESS else WARNING
    header = (
        f"<{FACILITY * 8 + severity}>1 {_time(at)} {_header_field(author.host, 255)} {APP_NAME} "
        f"{author.process_id} {MSGID} - "
    )
    return header.encode("ascii") + BOM + audit_xml(event, author, at)


def audit_xml(event: AuditEvent, author: AuditAuthor, at: float) -> bytes:
    """Return the AuditMessage of an event (PS3.15 A.5.1)."""
    root = Element("AuditMessage")
    _add_identification(root, event, at)
    for participant in event.participants:
        _add_participant(root, _identify_participant(participant, author))
    _add_source(root, author)
    for thing in event.objects:
        _add_object(root, thing)
    return b'<?xml version="1.0" encoding="UTF-8"?>' + tostring(root, "unicode").encode()


def _add_identification(root: Element, event: AuditEvent, at: float) -> None:
    attributes = {
        "EventActionCode": event.action.value,
        "EventDateTime": _time(at),
        "EventOutcomeIndicator": str(event.outcome.value),
    }
    identification = SubElement(root, "EventIdentification", attributes)
    _add_code(identification, "EventID", event.event)
    if event.type is not None:
        _add_code(identification, "EventTypeCode", event.type)
    if event.description:
        SubElement(identification, "EventOutcomeDescription").text = _clean(event.description)


def _identify_participant(
    participant: Participant | AuditSource, author: AuditAuthor
) -> Participant:
    """Return a participant; this process gets its ID and AE title (PS3.15 A.5.2.1)."""
    if isinstance(participant, Participant):
        return participant
    return Participant(
        str(author.process_id),
        participant.roles,
        is_requestor=participant.is_requestor,
        ae_titles=(author.ae_title,) if author.ae_title else (),
        address=author.host,
    )


def _add_participant(root: Element, participant: Participant) -> None:
    attributes = {"UserID": _clean(participant.user_id)}
    if participant.ae_titles:  # PS3.15 A.5.2.2
        attributes["AlternativeUserID"] = _clean(f"AETITLES={';'.join(participant.ae_titles)}")
    attributes["UserIsRequestor"] = "true" if participant.is_requestor else "false"
    if participant.address:
        attributes["NetworkAccessPointID"] = _clean(participant.address)
        attributes["NetworkAccessPointTypeCode"] = (
            URI if participant.media else _address_type(participant.address)
        )
    element = SubElement(root, "ActiveParticipant", attributes)
    for role in participant.roles:
        _add_code(element, "RoleIDCode", role)
    if participant.media is not None:
        _add_code(SubElement(element, "MediaIdentifier"), "MediaType", participant.media)


def _add_source(root: Element, author: AuditAuthor) -> None:
    attributes = {"AuditEnterpriseSiteID": _clean(author.site)} if author.site else {}
    attributes["AuditSourceID"] = _clean(author.source)
    source = SubElement(root, "AuditSourceIdentification", attributes)
    SubElement(source, "AuditSourceTypeCode", {"csd-code": APPLICATION_SERVER})


def _add_object(root: Element, thing: AuditObject) -> None:
    attributes = {
        "ParticipantObjectID": _clean(thing.id),
        "ParticipantObjectTypeCode": str(thing.kind.value),
        "ParticipantObjectTypeCodeRole": str(thing.role.value),
    }
    identification = SubElement(root, "ParticipantObjectIdentification", attributes)
    _add_code(identification, "ParticipantObjectIDTypeCode", thing.id_type)
    if thing.query is None:  # the schema requires a name or a query, and no patient may be named
        SubElement(identification, "ParticipantObjectName")
    else:
        SubElement(identification, "ParticipantObjectQuery").text = _base64(thing.query)
    for name, value in thing.details:
        attributes = {"type": name, "value": _base64(value)}
        SubElement(identification, "ParticipantObjectDetail", attributes)
    _add_instance_counts(identification, thing.instances)


def _add_instance_counts(identification: Element, instances: Sequence[tuple[str, int]]) -> None:
    if instances:
        description = SubElement(identification, "ParticipantObjectDescription")
        for uid, count in instances:
            attributes = {"UID": uid} if uid else {}
            SubElement(description, "SOPClass", attributes | {"NumberOfInstances": str(count)})


def _add_code(parent: Element, name: str, code: AuditCode) -> None:
    attributes = {
        "csd-code": code.value,
        "codeSystemName": code.scheme,
        "originalText": code.meaning,
    }
    SubElement(parent, name, attributes)


def _time(at: float) -> str:
    """Return a time in UTC, in the form of both XML Schema and RFC 5424."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _address_type(address: str) -> str:
    """Return the NetworkAccessPointTypeCode of a host name or IP address."""
    try:
        ip_address(address)
    except ValueError:
        return MACHINE_NAME
    return IP_ADDRESS


def _clean(text: str) -> str:
    """Return a text that fits into an attribute of one line, at most LONGEST characters."""
    return FORBIDDEN.sub("\ufffd", text)[:LONGEST]


def _header_field(text: str, longest: int) -> str:
    """Return a field of the syslog header: printable ASCII without spaces (RFC 5424 6)."""
    return re.sub(r"[^!-~]", "?", text)[:longest] or "-"


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
