"""One example of every kind of audit event."""

from pathlib import Path

from lxml import etree

from triage.domain import audit
from triage.domain.audit import AuditedStudyObject, AuditOutcome, AuditPeer

MR = "1.2.840.10008.5.1.4.1.1.4"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY = AuditedStudyObject("1.2.3", "4711", {MR: 20, "1.2.840.10008.5.1.4.1.1.7": 1})
PACS = AuditPeer("PACS", "10.1.2.3", ae_title="PACS")
RIS = AuditPeer("ris", "mllp://ris.example:2575", is_dicom=False)

EVENTS = {
    "start": audit.started("triage receive"),
    "stop": audit.stopped("triage receive"),
    "received": audit.received(STUDY, PACS),
    "received of a patient without a number": audit.received(
        AuditedStudyObject("1.2.3"), AuditPeer("", "")
    ),
    "sending": audit.sending(STUDY, PACS),
    "sent": audit.sent(STUDY, PACS),
    "given up": audit.sent(STUDY, PACS, AuditOutcome.SERIOUS, "0xA700 out of resources"),
    "exported": audit.sent(STUDY, RIS),
    "queried over C-FIND": audit.queried(PACS, b"\x08\x00", FIND, "1.2.840.10008.1.2"),
    "queried over HTTP": audit.queried(AuditPeer("vna", "vna.example"), b"StudyDate=20240131"),
    "searched": audit.searched("anna", "by words, since 20240101"),
    "login": audit.logged_in("anna", "10.1.2.4"),
    "failed login": audit.logged_in("(unknown)", "10.1.2.4", "unknown user or wrong password"),
    "turned away": audit.turned_away(PACS, "unknown calling AE title 'X'"),
    "turned away before its AE title is known": audit.turned_away(
        AuditPeer("", "::1"), "TLS: no cipher"
    ),
    "gap": audit.gap(7),
    "forgotten": audit.forgotten("4711", "root"),
    "forgotten by a study": audit.forgotten("", "root", "1.2.3"),
    "deleted": audit.deleted(STUDY),
    "deleted by a person": audit.deleted(STUDY, "root"),
}


SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).with_name("audit_message.rng")))
