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
    "start": audit.build_start_event("triage receive"),
    "stop": audit.build_stop_event("triage receive"),
    "received": audit.build_receipt_event(STUDY, PACS),
    "received of a patient without a number": audit.build_receipt_event(
        AuditedStudyObject("1.2.3"), AuditPeer("", "")
    ),
    "sending": audit.build_sending_event(STUDY, PACS),
    "sent": audit.build_transfer_event(STUDY, PACS),
    "given up": audit.build_transfer_event(
        STUDY, PACS, AuditOutcome.SERIOUS, "0xA700 out of resources"
    ),
    "exported": audit.build_transfer_event(STUDY, RIS),
    "queried over C-FIND": audit.build_query_event(PACS, b"\x08\x00", FIND, "1.2.840.10008.1.2"),
    "queried over HTTP": audit.build_query_event(
        AuditPeer("vna", "vna.example"), b"StudyDate=20240131"
    ),
    "searched": audit.build_case_search_event("anna", "by words, since 20240101"),
    "login": audit.build_login_event("anna", "10.1.2.4"),
    "failed login": audit.build_login_event(
        "(unknown)", "10.1.2.4", "unknown user or wrong password"
    ),
    "turned away": audit.build_rejection_event(PACS, "unknown calling AE title 'X'"),
    "turned away before its AE title is known": audit.build_rejection_event(
        AuditPeer("", "::1"), "TLS: no cipher"
    ),
    "finding changed": audit.build_finding_event(
        "lge", "version 3: moved; silent; SHA-256 00ff; thresholds: bundle", "anna"
    ),
    "finding not changed": audit.build_finding_event(
        "lge",
        "version 3: moved; silent; SHA-256 00ff; thresholds: bundle",
        "anna",
        AuditOutcome.MINOR,
    ),
    "gap": audit.build_gap_event(7),
    "forgotten": audit.build_erasure_event("4711", "root"),
    "forgotten by a study": audit.build_erasure_event("", "root", "1.2.3"),
    "deleted": audit.build_deletion_event(STUDY),
    "deleted by a person": audit.build_deletion_event(STUDY, "root"),
}


SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).with_name("audit_message.rng")))
