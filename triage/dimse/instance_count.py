"""Query a PACS for the number of instances of a study (Query/Retrieve SCU, C-FIND, PS3.4 annex C).

The result is a number that the PACS returned; anything else is a DeliveryFailed with its answer. If
the PACS does not count at study level, the numbers of the series are added.
"""

from collections.abc import Iterator

from pydicom import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
)

from triage.config import InstanceCountSettings
from triage.dimse.association import (
    AssociationFailed,
    RemoteEntity,
    encode_identifier,
    open_association,
)
from triage.domain.audit import AuditPeer, NoAuditTrail, build_query_event
from triage.domain.completeness import ArchiveCount
from triage.domain.errors import DeliveryFailed
from triage.domain.study import StudyRevision
from triage.ports.audit import AuditTrail

PENDING = {0xFF00, 0xFF01}  #: PS3.4 C.4.1.1.4: a match; others follow
SUCCESS = 0x0000
STUDY_COUNT = "NumberOfStudyRelatedInstances"  #: (0020,1208)
SERIES_COUNT = "NumberOfSeriesRelatedInstances"  #: (0020,1209)


class InstanceCountQuery:
    """Counts the instances that a PACS has of a study."""

    def __init__(
        self, calling_ae: str, settings: InstanceCountSettings, audit: AuditTrail | None = None
    ) -> None:
        self._peer = RemoteEntity(
            settings.host, settings.port, settings.ae_title, calling_ae, settings.timeout_s
        )
        self._audit = audit or NoAuditTrail()

    def __call__(self, study: StudyRevision) -> ArchiveCount:
        """Return how many instances of a study the PACS has; raise DeliveryFailed otherwise."""
        model = StudyRootQueryRetrieveInformationModelFind
        try:
            with open_association(self._peer, [(model, [])]) as association:
                self._audit_query(study)
                instances = _count_instances(association, study.study_uid)
        except AssociationFailed as error:
            raise DeliveryFailed(str(error)) from None
        return ArchiveCount(instances, self._peer.ae_title)

    def _audit_query(self, study: StudyRevision) -> None:
        """Record the study query; a query for its series may follow without an event of its own."""
        title = self._peer.ae_title
        peer = AuditPeer(title, self._peer.host, ae_title=title)
        query = encode_identifier(_build_identifier("STUDY", study.study_uid, STUDY_COUNT))
        self._audit.record(
            build_query_event(
                peer, query, StudyRootQueryRetrieveInformationModelFind, ImplicitVRLittleEndian
            )
        )


def _count_instances(association: Association, study_uid: str) -> int:
    """Return the count of the study, else the sum of the counts of its series."""
    (instances, *_) = [*_find_counts(association, "STUDY", study_uid, STUDY_COUNT), 0]
    return instances or sum(_find_counts(association, "SERIES", study_uid, SERIES_COUNT))


def _find_counts(
    association: Association, level: str, study_uid: str, keyword: str
) -> Iterator[int]:
    """Yield the number under `keyword` of each match; 0 if the PACS does not count."""
    identifier = _build_identifier(level, study_uid, keyword)
    model, last = StudyRootQueryRetrieveInformationModelFind, None
    for status, match in association.send_c_find(identifier, model):
        last = status.get("Status")
        if last in PENDING and match is not None:
            yield int(match.get(keyword) or 0)
    if last is None:
        raise DeliveryFailed("the association broke before an answer came")
    if last != SUCCESS:
        raise DeliveryFailed(f"C-FIND was answered with 0x{last:04X}")


def _build_identifier(level: str, study_uid: str, keyword: str) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    identifier.StudyInstanceUID = study_uid
    if level == "SERIES":
        identifier.SeriesInstanceUID = ""
    setattr(identifier, keyword, "")
    return identifier
