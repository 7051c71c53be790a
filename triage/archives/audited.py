"""An archive whose every question, and every study that it gave, the audit trail is told of.

Rule: a question is told of before it is asked. What goes on to the intake is told of there, when
the study is complete; so here are told only studies that go elsewhere.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
)

from triage.archives.dicom import identifier
from triage.archives.dicomweb import query_of
from triage.config import Archive as Settings
from triage.config import DicomArchive
from triage.dimse.association import encode_identifier
from triage.domain.archive import ArchivedStudy, ArchiveQuery, RetrieveResponse
from triage.domain.audit import (
    AuditedStudyObject,
    AuditEvent,
    AuditOutcome,
    AuditPeer,
    build_query_event,
    build_receipt_event,
)
from triage.ports.archive import Archive, StudyDownload
from triage.ports.audit import AuditTrail


@dataclass(frozen=True)
class AuditedArchive:
    """See `ports.Archive`."""

    archive: Archive
    audit: AuditTrail
    peer: AuditPeer
    question: Callable[[ArchiveQuery], AuditEvent]
    tells_of_studies: bool

    def find(self, search: ArchiveQuery) -> Iterator[ArchivedStudy]:
        """Yield the studies that match."""
        self.audit.record(self.question(search))
        yield from self.archive.find(search)

    def fetch(self, study: ArchivedStudy, desk: StudyDownload) -> RetrieveResponse:
        """Have the study sent."""
        told = self.archive.fetch(study, desk)
        if self.tells_of_studies and desk.instances:
            came = AuditedStudyObject(study.study_uid, study.patient_id, {"": desk.instances})
            outcome = AuditOutcome.SUCCESS if told.whole and not told.failed else AuditOutcome.MINOR
            self.audit.record(build_receipt_event(came, self.peer, outcome, asked=True))
        return told


def audited(
    archive: Archive, settings: Settings, audit: AuditTrail, *, tells_of_studies: bool
) -> AuditedArchive:
    """Return a configured archive whose questions the trail is told of."""
    if isinstance(settings, DicomArchive):
        peer = AuditPeer(settings.ae_title, settings.host, ae_title=settings.ae_title)
    else:
        host = urlsplit(settings.url).hostname or ""
        peer = AuditPeer(host, host)

    def question(search: ArchiveQuery) -> AuditEvent:
        if isinstance(settings, DicomArchive):
            model = StudyRootQueryRetrieveInformationModelFind
            return build_query_event(
                peer, encode_identifier(identifier(search)), model, ImplicitVRLittleEndian
            )
        return build_query_event(peer, urlencode(query_of(search)).encode())

    return AuditedArchive(archive, audit, peer, question, tells_of_studies)
