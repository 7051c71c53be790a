"""An archive that is asked over C-FIND and sends over C-GET (PS3.4 C.4.1, C.4.3), study root.

Rule: what arrives is answered as our receivers answer it, after it was kept. One association a
question and one a study: an archive that ends idle ones costs nothing, one that breaks costs one
study.
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

from triage.archives.contexts import proposed
from triage.config import DicomArchive
from triage.dimse.association import (
    AssociationFailed,
    AssociationRejected,
    NoContextAccepted,
    ProposedContext,
    RemoteEntity,
    open_association,
)
from triage.dimse.store_response import attempt_store
from triage.domain.archive import ArchivedStudy, ArchiveQuery, RetrieveResponse
from triage.domain.errors import ArchiveFailed, ArchiveUnreachable, ConfigurationError
from triage.ports.archive import StudyDownload

PENDING = {0xFF00, 0xFF01}  #: PS3.4 C.4.1.1.4: others follow
SUCCESS = 0x0000
WARNING = 0xB000  #: PS3.4 C.4.3.1.4: at its end, and some instances failed or were warned of
#: PS3.4 C.4.1.1.4, C.4.2.1.5 and C.4.3.1.4, and PS3.7 C for the last ones.
WORDS = {
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
PDU_BYTES = 131_072
UNABLE = 0xC000  #: of the range 0xCxxx
UNKNOWN_DESTINATION = 0xA801  #: PS3.4 C.4.2.1.5


class GetArchive:
    """See `ports.Archive`."""

    def __init__(self, our_ae: str, settings: DicomArchive) -> None:
        self._calling = settings.calling or our_ae
        self._settings = settings
        self._peer = RemoteEntity(
            settings.host, settings.port, settings.ae_title, self._calling, settings.timeout_s
        )

    def find(self, search: ArchiveQuery) -> Iterator[ArchivedStudy]:
        """Yield the studies that match, over C-FIND at level STUDY."""
        model = StudyRootQueryRetrieveInformationModelFind
        with self.associated([(model, [])]) as association:
            for status, match in association.send_c_find(identifier(search), model):
                code = _code(status)
                if code in PENDING and match is not None:
                    yield _study(match)
                elif code != SUCCESS:
                    raise ArchiveFailed(f"C-FIND was answered with {in_words(code)}")

    def fetch(self, study: ArchivedStudy, desk: StudyDownload) -> RetrieveResponse:
        """Have the study sent over the association that asks for it."""
        contexts = proposed(study.sop_classes)
        handlers = [(evt.EVT_C_STORE, kept_on, [desk])]
        model = StudyRootQueryRetrieveInformationModelGet
        with self.associated([(model, []), *contexts], handlers) as association:
            return told(association.send_c_get(of_study(study), model))

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
            raise ConfigurationError(self._unaccepted(needed)) from None
        except AssociationRejected as error:
            if error.is_permanent:
                raise ConfigurationError(f"{error}; does it know {self._calling}?") from None
            raise ArchiveUnreachable(str(error)) from None
        except AssociationFailed as error:
            raise ArchiveUnreachable(str(error)) from None

    def _unaccepted(self, needed: str) -> str:
        """Return what to do about an archive that does not accept a service."""
        name = UID(needed).name.rsplit(" ", 1)[-1]
        return (
            f"{self._peer} accepts no Query/Retrieve {name} from {self._calling}: have it allow "
            "that" + (", or set move_to of the archive" if name == "GET" else "")
        )


def kept_on(event: evt.Event, desk: StudyDownload) -> int:
    """Answer a C-STORE request when its instance lies on the desk, or was refused there."""
    request: Any = event.request
    uid = str(request.AffectedSOPInstanceUID)
    return attempt_store(lambda: desk.keep([event.encoded_dataset()], uid))


def told(responses: Iterator[tuple[Dataset, Dataset | None]]) -> RetrieveResponse:
    """Return what the last response of a C-GET or C-MOVE says; raise where there was none."""
    last = Dataset()
    for status, _ in responses:
        last = status
        if _code(status) not in PENDING:
            break
    code = _code(last)
    if code == UNKNOWN_DESTINATION:
        raise ConfigurationError("the archive does not know the AE title of move_to: add it there")
    if code not in {SUCCESS, WARNING} and "NumberOfCompletedSuboperations" not in last:
        raise ArchiveFailed(f"it answered {in_words(code)}")
    completed = _number(last, "NumberOfCompletedSuboperations")
    failed = _number(last, "NumberOfFailedSuboperations") or 0
    warned = _number(last, "NumberOfWarningSuboperations") or 0
    sent = None if completed is None else completed + warned
    whole = code == SUCCESS or (code == WARNING and warned > 0)
    return RetrieveResponse(sent, failed, warned, whole, "" if code == SUCCESS else in_words(code))


def in_words(code: int) -> str:
    """Return a status of C-FIND, C-GET or C-MOVE as people read it."""
    words = WORDS.get(code) or ("unable to do it" if code & 0xF000 == UNABLE else "")
    return f"0x{code:04X} {words}".rstrip()


def _code(status: Dataset) -> int:
    if "Status" not in status:
        raise ArchiveFailed("the association broke before an answer came")
    return int(status.Status)


def _number(status: Dataset, keyword: str) -> int | None:
    value = status.get(keyword)
    return None if value is None else int(value)


def identifier(search: ArchiveQuery) -> Dataset:
    """Return what is asked (PS3.4 C.6.2.1.2): keys that must match, and those that are wanted."""
    asked = Dataset()
    asked.QueryRetrieveLevel = "STUDY"
    asked.StudyInstanceUID = search.study_uid
    asked.StudyDate = _range(search)
    asked.ModalitiesInStudy = search.modality
    asked.StudyDescription = ""
    asked.PatientID = search.patient_id
    asked.NumberOfStudyRelatedInstances = ""
    asked.SOPClassesInStudy = ""
    return asked


def _range(search: ArchiveQuery) -> str:
    """Return a date or range of dates (PS3.4 C.2.2.2.5)."""
    first, last = (f"{day:%Y%m%d}" if day else "" for day in (search.since, search.until))
    return first if first == last else f"{first}-{last}"


def _study(match: Dataset) -> ArchivedStudy:
    """Return a study from a match; whatever is wrong in it becomes an answer that is none."""
    return ArchivedStudy(
        study_uid=_text(match, "StudyInstanceUID"),
        study_date=_text(match, "StudyDate"),
        modalities=_texts(match, "ModalitiesInStudy"),
        instances=_counted(_text(match, "NumberOfStudyRelatedInstances")),
        sop_classes=_texts(match, "SOPClassesInStudy"),
        description=_text(match, "StudyDescription"),
        patient_id=_text(match, "PatientID"),
    )


def _counted(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _text(match: Dataset, keyword: str) -> str:
    try:
        return str(match.get(keyword) or "").strip()
    except Exception:  # noqa: BLE001 - whatever pydicom raises on a value that is none of its VR
        return ""


def _texts(match: Dataset, keyword: str) -> tuple[str, ...]:
    try:
        value = match.get(keyword)
    except Exception:  # noqa: BLE001 - as above
        return ()
    values = value if isinstance(value, MultiValue) else [value]
    return tuple(str(each).strip() for each in values if each)


def of_study(study: ArchivedStudy) -> Dataset:
    """Return what a C-GET or C-MOVE asks for (PS3.4 C.4.2.1.4)."""
    asked = Dataset()
    asked.QueryRetrieveLevel = "STUDY"
    asked.StudyInstanceUID = study.study_uid
    return asked
