"""Ask a PACS how many instances of a study it has (Query/Retrieve SCU, C-FIND, PS3.4 annex C).

Rule: an answer is a number that the PACS itself gave; anything else is an error with its words.
Of a PACS that does not count by study the series are added up.
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
from triage.domain.audit import AuditPeer, NoAuditTrail, queried
from triage.domain.completeness import ArchiveCount
from triage.domain.errors import DeliveryFailed
from triage.domain.study import StudyRevision
from triage.ports.audit import AuditTrail

PENDING = {0xFF00, 0xFF01}  #: PS3.4 C.4.1.1.4: a match; others follow
SUCCESS = 0x0000
OF_STUDY = "NumberOfStudyRelatedInstances"


class InstanceCountQuery:
    """A PACS that is asked about studies."""

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
                self._tell_of(study)
                instances = _of_study(association, study.study_uid)
        except AssociationFailed as error:
            raise DeliveryFailed(str(error)) from None
        return ArchiveCount(instances, self._peer.ae_title)

    def _tell_of(self, study: StudyRevision) -> None:
        """Tell the audit trail what is asked; its series may be asked for after it."""
        title = self._peer.ae_title
        peer = AuditPeer(title, self._peer.host, ae_title=title)
        asked = encode_identifier(_asked("STUDY", study.study_uid, OF_STUDY))
        self._audit.record(
            queried(peer, asked, StudyRootQueryRetrieveInformationModelFind, ImplicitVRLittleEndian)
        )


def _of_study(association: Association, study_uid: str) -> int:
    """Return NumberOfStudyRelatedInstances (0020,1208), else those of its series (0020,1209)."""
    (counted, *_) = [*_found(association, "STUDY", study_uid, OF_STUDY), 0]
    if counted:
        return counted
    return sum(_found(association, "SERIES", study_uid, "NumberOfSeriesRelatedInstances"))


def _found(association: Association, level: str, study_uid: str, keyword: str) -> Iterator[int]:
    """Yield the number under `keyword` of each match; 0 where the PACS does not count."""
    asked = _asked(level, study_uid, keyword)
    last = None
    for status, match in association.send_c_find(asked, StudyRootQueryRetrieveInformationModelFind):
        last = status.get("Status")
        if last in PENDING and match is not None:
            yield int(match.get(keyword) or 0)
    if last is None:
        raise DeliveryFailed("the association broke before an answer came")
    if last != SUCCESS:
        raise DeliveryFailed(f"C-FIND was answered with 0x{last:04X}")


def _asked(level: str, study_uid: str, keyword: str) -> Dataset:
    asked = Dataset()
    asked.QueryRetrieveLevel = level
    asked.StudyInstanceUID = study_uid
    if level == "SERIES":
        asked.SeriesInstanceUID = ""
    setattr(asked, keyword, "")
    return asked
