import base64
import inspect
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tests.builders import audit_events
from tests.builders.audit_events import EVENTS, PACS, SCHEMA, STUDY
from triage.audit.message import BOM, Author, line, xml
from triage.domain import audit
from triage.domain.audit import AuditedStudyObject, AuditEvent, AuditPeer

AUTHOR = Author("triage-1", "hospital", "CMRTRIAGE", "worker-1", 4242)
AT = 1_700_000_000.25


def read(event: AuditEvent) -> etree._Element:
    root = etree.fromstring(xml(event, AUTHOR, AT))
    SCHEMA.assertValid(root)
    return root


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_every_kind_of_message_is_valid(event: AuditEvent) -> None:
    read(event)


@pytest.mark.parametrize("author", [Author("triage"), Author("t", "", "A", "host with space", 1)])
def test_who_says_little_of_itself_is_valid_too(author: Author) -> None:
    SCHEMA.assertValid(etree.fromstring(xml(EVENTS["sent"], author, AT)))


def test_every_function_that_makes_an_event_is_among_them() -> None:
    makers = {
        name
        for name, each in inspect.getmembers(audit, inspect.isfunction)
        if not name.startswith("_") and each.__annotations__.get("return") is AuditEvent
    }
    text = inspect.getsource(audit_events)
    assert makers == set(re.findall(r"audit\.([a-z_]+)\(", text))


@pytest.mark.parametrize("wrong", ["EventDateTime", "EventOutcomeIndicator"])
def test_the_schema_finds_what_is_missing(wrong: str) -> None:
    root = etree.fromstring(xml(EVENTS["sent"], AUTHOR, AT))
    del root[0].attrib[wrong]
    assert not SCHEMA.validate(root)


def test_the_schema_finds_codes_in_the_old_form() -> None:
    said = xml(EVENTS["sent"], AUTHOR, AT).replace(b"csd-code", b"code")
    assert not SCHEMA.validate(etree.fromstring(said))


def test_a_study_names_its_patient_by_number_and_counts_its_instances() -> None:
    root = read(EVENTS["received"])
    study, patient = root.findall("ParticipantObjectIdentification")
    assert study.get("ParticipantObjectID") == STUDY.uid
    assert {each.get("UID"): each.get("NumberOfInstances") for each in study.iter("SOPClass")} == {
        uid: str(count) for uid, count in (STUDY.instances or {}).items()
    }
    assert patient.get("ParticipantObjectID") == "4711"
    assert patient[0].attrib == {
        "csd-code": "2",
        "codeSystemName": "RFC-3881",
        "originalText": "Patient Number",
    }
    assert all(not name.text for name in root.iter("ParticipantObjectName"))


def test_one_participant_at_most_has_asked_for_it() -> None:
    for event in EVENTS.values():
        asking = read(event).iter("ActiveParticipant")
        assert sum(each.get("UserIsRequestor") == "true" for each in asking) <= 1


def test_we_are_named_by_process_and_ae_title() -> None:
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


def test_what_leaves_dicom_is_an_export_to_a_uri() -> None:
    root = read(EVENTS["exported"])
    assert root.find("EventIdentification/EventID").get("originalText") == "Export"
    media = root.findall("ActiveParticipant")[1]
    assert media.get("NetworkAccessPointTypeCode") == "5"
    assert media.find("MediaIdentifier/MediaType").get("csd-code") == "110037"


def test_a_query_is_there_byte_by_byte() -> None:
    root = read(EVENTS["queried over C-FIND"])
    assert base64.b64decode(root.findtext(".//ParticipantObjectQuery")) == b"\x08\x00"


def test_a_line_of_syslog() -> None:
    said = line(EVENTS["sent"], AUTHOR, AT)
    header, _, message = said.partition(BOM)
    assert header == (b"<85>1 2023-11-14T22:13:20.250Z worker-1 cmr-triage 4242 DICOM+RFC3881 - ")
    SCHEMA.assertValid(etree.fromstring(message))
    assert line(EVENTS["turned away"], AUTHOR, AT).startswith(b"<84>1 ")


@given(st.text())
def test_nothing_that_a_stranger_says_breaks_line_or_schema(said: str) -> None:
    for event in (
        audit.turned_away(AuditPeer(said, said, ae_title=said), said),
        audit.received(AuditedStudyObject("1.2.3", said), PACS),
        audit.logged_in(said, said, said),
    ):
        written = line(event, Author(said, said, said, said, 1), AT)
        assert b"\n" not in written
        assert b"\r" not in written
        SCHEMA.assertValid(etree.fromstring(written.partition(BOM)[2]))
