"""Send the DICOM files of a folder over C-STORE, as a PACS would, to try the worker out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.misc import is_dicom
from pynetdicom.association import Association

from triage.dimse.association import (
    CONTEXTS_MAX,
    AssociationFailed,
    ProposedContext,
    RemoteEntity,
    open_association,
)
from triage.dimse.statuses import describe_status, is_stored
from triage.domain.errors import ConfigurationError, DeliveryFailed


@dataclass(frozen=True)
class SendResult:
    """The outcome of one file."""

    path: Path
    stored: bool
    answer: str  #: the status of the peer, or the reason why there is none


def find_dicom_files(folder: Path) -> list[Path]:
    """Return the DICOM files below a folder, sorted; raise ConfigurationError if there are none."""
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is not a folder")
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and is_dicom(path)]
    if not found:
        raise ConfigurationError(f"{folder} contains no DICOM files")
    return found


def send_files(
    files: Sequence[Path], peer: RemoteEntity, advance: Callable[[], None]
) -> list[SendResult]:
    """Send the files on one association and return a result for each; `advance` follows each file.

    Raises:
        DeliveryFailed: the association was not opened.
        ConfigurationError: the files need more presentation contexts than one association has.
    """
    results = []
    try:
        with open_association(peer, _list_contexts(files)) as association:
            for path in files:
                results.append(_send_file(association, path))
                advance()
    except AssociationFailed as error:
        raise DeliveryFailed(
            f"{error} If it rejects us, add {peer.calling_ae} to its calling AE titles."
        ) from None
    return results


def _list_contexts(files: Sequence[Path]) -> list[ProposedContext]:
    """Return the SOP classes and transfer syntaxes of the files, so that nothing is converted."""
    contexts = dict.fromkeys(_read_context(path) for path in files)
    if len(contexts) > CONTEXTS_MAX:
        raise ConfigurationError(
            f"the files need more than {CONTEXTS_MAX} presentation contexts: send fewer at a time"
        )
    return [(sop_class, [syntax]) for sop_class, syntax in contexts]


def _read_context(path: Path) -> tuple[str, str]:
    meta = read_file_meta_info(path)
    return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)


def _send_file(association: Association, path: Path) -> SendResult:
    if not association.is_established:
        return SendResult(path, stored=False, answer="not sent: the association broke earlier")
    try:
        status = association.send_c_store(path).get("Status")
    except (ValueError, InvalidDicomError, AttributeError) as error:
        return SendResult(path, stored=False, answer=str(error))
    if status is None:
        return SendResult(path, stored=False, answer="no answer")
    return SendResult(path, stored=is_stored(status), answer=describe_status(status))
