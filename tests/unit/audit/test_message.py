import base64
import inspect
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tests.builders import audit_events
from tests.builders.audit_events import EVENTS, PACS, SCHEMA, STUDY
from triage.audit.message import BOM, AuditAuthor, audit_xml, syslog_line
from triage.domain import audit
from triage.domain.audit import AuditedStudyObject, AuditEvent, AuditPeer

AUTHOR = AuditAuthor("triage-1", "hospital", "CMRTRIAGE", "worker-1", 4242)
AT = 1_700_000_000.25


def read(event: AuditEvent) -> etree._Element:
    root = etree.fromstring(audit_xml(event, AUTHOR, AT))
    SCHEMA.assertValid(root)
    return root


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_every_kind_of_message_is_valid(event: AuditEvent) -> None:
    read(event)


@pytest.mark.parametrize(
    "author", [AuditAuthor("triage"), AuditAuthor("t", "", "A", "host with space", 1)]
)
def test_messages_of_an_author_with_few_fields_are_valid(author: AuditAuthor) -> None:
    SCHEMA.assertValid(etree.fromstring(audit_xml(EVENTS["sent"], author, AT)))


def test_every_function_that_returns_an_event_is_covered() -> None:
    makers = {
        name
        for name, function in inspect.getmembers(audit, inspect.isfunction)
        if not name.startswith("_") and function.__annotations__.get("return") is AuditEvent
    }
    text = inspect.getsource(audit_events)
    assert makers == set(re.findall(r"audit\.([a-z_]+)\(", text))


@pytest.mark.parametrize("missing", ["EventDateTime", "EventOutcomeIndicator"])
def test_the_schema_rejects_a_missing_attribute(missing: str) -> None:
    root = etree.fromstring(audit_xml(EVENTS["sent"], AUTHOR, AT))
    del root[0].attrib[missing]
    assert not SCHEMA.validate(root)


def test_the_schema_rejects_codes_in_the_old_form() -> None:
    old = audit_xml(EVENTS["sent"], AUTHOR, AT).replace(b"csd-code", b"code")
    assert not SCHEMA.validate(etree.fromstring(old))


def test_a_study_has_its_patient_id_and_its_instance_counts() -> None:
    root = read(EVENTS["received"])
    study, patient = root.findall("ParticipantObjectIdentification")
    assert study.get("ParticipantObjectID") == STUDY.uid
    assert {item.get("UID"): item.get("NumberOfInstances") for item in study.iter("SOPClass")} == {
        uid: str(count) for uid, count in (STUDY.instances or {}).items()
    }
    assert patient.get("ParticipantObjectID") == "4711"
    assert patient[0].attrib == {
        "csd-code": "2",
        "codeSystemName": "RFC-3881",
        "originalText": "Patient Number",
    }
    assert all(not name.text for name in root.iter("ParticipantObjectName"))


def test_at_most_one_participant_is_the_requestor() -> None:
    for event in EVENTS.values():
        participants = read(event).iter("ActiveParticipant")
        assert sum(item.get("UserIsRequestor") == "true" for item in participants) <= 1


def test_this_process_is_named_by_its_id_and_ae_title() -> None:
    sender, us = read(EVENTS["received"]).findall("ActiveParticipant")
    assert (us.get("UserID"), us.get("AlternativeUserID")) == ("4242", "AETITLES=CMRTRIAGE")
    assert (us.get("NetworkAccessPointID"), us.get("NetworkAccessPointTypeCode")) == (
        "worker-1",
        "1",
    )
    assert (sender.get("NetworkAccessPointID"), sender.get("NetworkAccessPointTypeCode")) == (
        "10.1.2.3",
        "2",
    )


def test_a_transfer_outside_dicom_is_an_export_to_a_uri() -> None:
    root = read(EVENTS["exported"])
    assert root.find("EventIdentification/EventID").get("originalText") == "Export"
    media = root.findall("ActiveParticipant")[1]
    assert media.get("NetworkAccessPointTypeCode") == "5"
    assert media.find("MediaIdentifier/MediaType").get("csd-code") == "110037"


def test_a_query_is_recorded_byte_by_byte() -> None:
    root = read(EVENTS["queried over C-FIND"])
    assert base64.b64decode(root.findtext(".//ParticipantObjectQuery")) == b"\x08\x00"


def test_the_syslog_line_has_header_and_valid_xml() -> None:
    header, _, message = syslog_line(EVENTS["sent"], AUTHOR, AT).partition(BOM)
    assert header == (b"<85>1 2023-11-14T22:13:20.250Z worker-1 cmr-triage 4242 DICOM+RFC3881 - ")
    SCHEMA.assertValid(etree.fromstring(message))
    assert syslog_line(EVENTS["turned away"], AUTHOR, AT).startswith(b"<84>1 ")


@given(st.text())
def test_text_of_a_peer_breaks_neither_line_nor_schema(text: str) -> None:
    for event in (
        audit.build_rejection_event(AuditPeer(text, text, ae_title=text), text),
        audit.build_receipt_event(AuditedStudyObject("1.2.3", text), PACS),
        audit.build_login_event(text, text, text),
    ):
        written = syslog_line(event, AuditAuthor(text, text, text, text, 1), AT)
        assert b"\n" not in written
        assert b"\r" not in written
        SCHEMA.assertValid(etree.fromstring(written.partition(BOM)[2]))
