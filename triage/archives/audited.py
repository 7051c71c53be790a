"""Records the queries of an archive, and studies fetched into a folder, in the audit trail.

A query is recorded before it is sent. A study that goes to the intake is recorded there when it is
complete, so only studies that go elsewhere are recorded here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
)

from triage.archives.dicom import query_identifier
from triage.archives.dicomweb import query_parameters
from triage.config import AnyArchiveSettings, DicomArchiveSettings
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
    """An archive that records its queries and studies; implements `Archive`."""

    archive: Archive
    audit: AuditTrail
    peer: AuditPeer  #: the archive as audit messages name it
    build_event: Callable[[ArchiveQuery], AuditEvent]  #: returns the audit event of a query
    records_studies: bool  #: False: the intake records the studies

    def find(self, search: ArchiveQuery) -> Iterator[ArchivedStudy]:
        """Record the query and yield the matching studies."""
        self.audit.record(self.build_event(search))
        yield from self.archive.find(search)

    def fetch(self, study: ArchivedStudy, download: StudyDownload) -> RetrieveResponse:
        """Fetch a study, and record it if at least one instance arrived."""
        response = self.archive.fetch(study, download)
        if self.records_studies and download.instances:
            fetched = AuditedStudyObject(
                study.study_uid, study.patient_id, {"": download.instances}
            )
            is_complete = response.whole and not response.failed
            outcome = AuditOutcome.SUCCESS if is_complete else AuditOutcome.MINOR
            self.audit.record(build_receipt_event(fetched, self.peer, outcome, asked=True))
        return response


def audit_archive(
    archive: Archive, settings: AnyArchiveSettings, audit: AuditTrail, *, records_studies: bool
) -> AuditedArchive:
    """Return the archive with its queries, and possibly its studies, recorded."""
    if isinstance(settings, DicomArchiveSettings):
        peer = AuditPeer(settings.ae_title, settings.host, ae_title=settings.ae_title)
    else:
        host = urlsplit(settings.url).hostname or ""
        peer = AuditPeer(host, host)

    def build_event(search: ArchiveQuery) -> AuditEvent:
        if isinstance(settings, DicomArchiveSettings):
            model = StudyRootQueryRetrieveInformationModelFind
            return build_query_event(
                peer, encode_identifier(query_identifier(search)), model, ImplicitVRLittleEndian
            )
        return build_query_event(peer, urlencode(query_parameters(search)).encode())

    return AuditedArchive(archive, audit, peer, build_event, records_studies)
