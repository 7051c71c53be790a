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
from triage.dimse import encoded
from triage.domain.archive import ArchivedStudy, Search, Told
from triage.domain.audit import AuditEvent, Outcome, Peer, Study, queried, received
from triage.ports import Archive, AuditTrail, Desk


@dataclass(frozen=True)
class AuditedArchive:
    """See `ports.Archive`."""

    archive: Archive
    audit: AuditTrail
    peer: Peer
    question: Callable[[Search], AuditEvent]
    tells_of_studies: bool

    def find(self, search: Search) -> Iterator[ArchivedStudy]:
        """Yield the studies that match."""
        self.audit.record(self.question(search))
        yield from self.archive.find(search)

    def fetch(self, study: ArchivedStudy, desk: Desk) -> Told:
        """Have the study sent."""
        told = self.archive.fetch(study, desk)
        if self.tells_of_studies and desk.instances:
            came = Study(study.study_uid, study.patient_id, {"": desk.instances})
            outcome = Outcome.SUCCESS if told.whole and not told.failed else Outcome.MINOR
            self.audit.record(received(came, self.peer, outcome, asked=True))
        return told


def audited(
    archive: Archive, settings: Settings, audit: AuditTrail, *, tells_of_studies: bool
) -> AuditedArchive:
    """Return a configured archive whose questions the trail is told of."""
    if isinstance(settings, DicomArchive):
        peer = Peer(settings.ae_title, settings.host, ae_title=settings.ae_title)
    else:
        host = urlsplit(settings.url).hostname or ""
        peer = Peer(host, host)

    def question(search: Search) -> AuditEvent:
        if isinstance(settings, DicomArchive):
            model = StudyRootQueryRetrieveInformationModelFind
            return queried(peer, encoded(identifier(search)), model, ImplicitVRLittleEndian)
        return queried(peer, urlencode(query_of(search)).encode())

    return AuditedArchive(archive, audit, peer, question, tells_of_studies)
