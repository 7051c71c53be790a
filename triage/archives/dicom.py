"""An archive that is searched with C-FIND and sends with C-GET (PS3.4 C.4.1, C.4.3), study root.

A received instance is acknowledged after it is stored, with the same statuses as in our receivers.
Each query and each study has an association of its own, so an archive that ends idle associations
does no harm, and a broken association costs one study.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

from triage.archives.contexts import propose_contexts
from triage.config import DicomArchiveSettings
from triage.dicom.patient import distinct_values
from triage.dicom.unreadable import UNREADABLE
from triage.dimse.association import (
    AssociationFailed,
    AssociationRejected,
    NoContextAccepted,
    ProposedContext,
    RemoteEntity,
    open_association,
)
from triage.dimse.storage_classes import AcceptedClasses
from triage.dimse.store_response import attempt_store
from triage.domain.archive import ArchivedStudy, ArchiveQuery, RetrieveResponse
from triage.domain.errors import ArchiveFailed, ArchiveUnreachable, ConfigurationError
from triage.ports.archive import StudyDownload

PENDING = {0xFF00, 0xFF01}  #: more responses follow (PS3.4 C.4.1.1.4)
SUCCESS = 0x0000
WARNING = 0xB000  #: complete, with failures or warnings of some instances (PS3.4 C.4.3.1.4)
#: Meaning of a status: PS3.4 C.4.1.1.4, C.4.2.1.5 and C.4.3.1.4; PS3.7 C for the last ones.
STATUSES = {
    0xA700: "out of resources",
    0xA701: "out of resources, it cannot count the matches",
    0xA702: "out of resources, it cannot send",
    0xA801: "the move destination is unknown to it",
    0xA900: "the identifier does not match the SOP class",
    0xB000: "sub-operations ended, some failed or with warnings",
    0xFE00: "cancelled",
    0x0122: "SOP class not supported",
    0x0124: "not authorised",
}
PDU_BYTES = 131_072  #: longest PDU that we receive
UNABLE = 0xC000  #: first status of the range 0xCxxx, unable to process
UNKNOWN_DESTINATION = 0xA801  #: move destination unknown (PS3.4 C.4.2.1.5)


class GetArchive:
    """An archive that sends with C-GET; implements `Archive`."""

    def __init__(
        self, our_ae: str, settings: DicomArchiveSettings, classes: AcceptedClasses
    ) -> None:
        self._calling = settings.calling or our_ae
        self._settings = settings
        self._classes = classes
        self._peer = RemoteEntity(
            settings.host, settings.port, settings.ae_title, self._calling, settings.timeout_s
        )

    def find(self, search: ArchiveQuery) -> Iterator[ArchivedStudy]:
        """Yield the matching studies, with C-FIND at level STUDY."""
        model = StudyRootQueryRetrieveInformationModelFind
        with self.associated([(model, [])]) as association:
            for status, match in association.send_c_find(query_identifier(search), model):
                code = _code(status)
                if code in PENDING and match is not None:
                    yield _study(match)
                elif code != SUCCESS:
                    raise ArchiveFailed(f"C-FIND was answered with {describe_query_status(code)}")

    def fetch(self, study: ArchivedStudy, download: StudyDownload) -> RetrieveResponse:
        """Receive the study on the association of the request."""
        contexts = propose_contexts(study.sop_classes, self._classes.more)
        handlers = [(evt.EVT_C_STORE, store_in_download, [download])]
        model = StudyRootQueryRetrieveInformationModelGet
        with self.associated([(model, []), *contexts], handlers) as association:
            return judge_responses(association.send_c_get(retrieve_identifier(study), model))

    @contextmanager
    def associated(
        self, contexts: Sequence[ProposedContext], handlers: Sequence[Any] = ()
    ) -> Iterator[Association]:
        """Open an association; release it when the block ends.

        The archive must accept the first context. The others are storage classes, for which we
        propose to be SCP (PS3.7 D.3.3.4).

        Raises:
            ArchiveUnreachable: the archive does not answer, or rejects the association for now.
            ConfigurationError: the archive rejects us permanently, or not the first context.
        """
        needed = contexts[0][0]
        try:
            with open_association(
                self._peer,
                contexts,
                required=needed,
                scp_roles={sop_class for sop_class, _ in contexts[1:]},
                handlers=handlers,
                pdu_bytes=PDU_BYTES,
            ) as association:
                yield association
        except NoContextAccepted:
            raise ConfigurationError(self._describe_unaccepted(needed)) from None
        except AssociationRejected as error:
            if error.is_permanent:
                raise ConfigurationError(
                    f"{error}; is the AE title {self._calling} configured there?"
                ) from None
            raise ArchiveUnreachable(str(error)) from None
        except AssociationFailed as error:
            raise ArchiveUnreachable(str(error)) from None

    def _describe_unaccepted(self, needed: str) -> str:
        """Return what to do about an archive that does not accept a service."""
        name = UID(needed).name.rsplit(" ", 1)[-1]
        return (
            f"{self._peer} accepts no Query/Retrieve {name} from {self._calling}: allow it there"
            + (", or set move_to of the archive" if name == "GET" else "")
        )


def store_in_download(event: evt.Event, download: StudyDownload) -> int:
    """Store the instance of a C-STORE request. Returns the status for the response."""
    request: Any = event.request
    uid = str(request.AffectedSOPInstanceUID)
    return attempt_store(lambda: download.keep([event.encoded_dataset()], uid))


def judge_responses(responses: Iterator[tuple[Dataset, Dataset | None]]) -> RetrieveResponse:
    """Return the result in the last response of a C-GET or C-MOVE.

    Raises:
        ConfigurationError: The archive does not know our move destination.
        ArchiveFailed: The archive reports a failure, or the association ended.
    """
    last = Dataset()
    for status, _ in responses:
        last = status
        if _code(status) not in PENDING:
            break
    code = _code(last)
    if code == UNKNOWN_DESTINATION:
        raise ConfigurationError("the archive does not know the AE title of move_to: add it there")
    if code not in {SUCCESS, WARNING} and "NumberOfCompletedSuboperations" not in last:
        raise ArchiveFailed(f"it answered {describe_query_status(code)}")
    completed = _number(last, "NumberOfCompletedSuboperations")
    failed = _number(last, "NumberOfFailedSuboperations") or 0
    warned = _number(last, "NumberOfWarningSuboperations") or 0
    sent = None if completed is None else completed + warned
    whole = code == SUCCESS or (code == WARNING and warned > 0)
    return RetrieveResponse(
        sent, failed, warned, whole, "" if code == SUCCESS else describe_query_status(code)
    )


def describe_query_status(code: int) -> str:
    """Return a status of C-FIND, C-GET or C-MOVE with its meaning."""
    meaning = STATUSES.get(code) or ("unable to process" if code & 0xF000 == UNABLE else "")
    return f"0x{code:04X} {meaning}".rstrip()


def _code(status: Dataset) -> int:
    if "Status" not in status:
        raise ArchiveFailed("the association ended before a response arrived")
    return int(status.Status)


def _number(status: Dataset, keyword: str) -> int | None:
    value = status.get(keyword)
    return None if value is None else int(value)


def query_identifier(search: ArchiveQuery) -> Dataset:
    """Return the identifier of a C-FIND: matching keys and return keys (PS3.4 C.6.2.1.2)."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = search.study_uid
    identifier.StudyDate = _date_range(search)
    identifier.ModalitiesInStudy = search.modality
    identifier.StudyDescription = ""
    identifier.PatientID = search.patient_id
    identifier.NumberOfStudyRelatedInstances = ""
    identifier.SOPClassesInStudy = ""
    return identifier


def _date_range(search: ArchiveQuery) -> str:
    """Return a date or a range of dates (PS3.4 C.2.2.2.5)."""
    first, last = (f"{day:%Y%m%d}" if day else "" for day in (search.since, search.until))
    return first if first == last else f"{first}-{last}"


def _study(match: Dataset) -> ArchivedStudy:
    """Return the study of a match; values that cannot be read become empty or None."""
    return ArchivedStudy(
        study_uid=_text(match, "StudyInstanceUID"),
        study_date=_text(match, "StudyDate"),
        modalities=_texts(match, "ModalitiesInStudy"),
        instances=_count(_text(match, "NumberOfStudyRelatedInstances")),
        sop_classes=_texts(match, "SOPClassesInStudy"),
        description=_text(match, "StudyDescription"),
        patient_id=_text(match, "PatientID"),
    )


def _count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _text(match: Dataset, keyword: str) -> str:
    """Return a value; equal values are one, and different ones are never joined."""
    try:
        values = distinct_values(match, keyword)
    except UNREADABLE:
        return ""
    return values[0].strip() if len(values) == 1 else ""


def _texts(match: Dataset, keyword: str) -> tuple[str, ...]:
    try:
        value = match.get(keyword)
    except UNREADABLE:
        return ()
    values = value if isinstance(value, MultiValue) else [value]
    return tuple(str(value).strip() for value in values if value)


def retrieve_identifier(study: ArchivedStudy) -> Dataset:
    """Return the identifier of a C-GET or C-MOVE (PS3.4 C.4.2.1.4)."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = study.study_uid
    return identifier
