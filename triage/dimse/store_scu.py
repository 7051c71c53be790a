"""Send a folder over C-STORE, as a PACS would: for trying the worker out.

Rule: every file ends as sent or as a failure with the peer's answer; files that are no DICOM are
named, not sent.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.misc import is_dicom
from pynetdicom.association import Association

from triage.dimse.association import (
    AssociationFailed,
    ProposedContext,
    RemoteEntity,
    open_association,
)
from triage.dimse.statuses import describe_status, is_stored
from triage.domain.errors import ConfigurationError, DeliveryFailed

CONTEXTS_MAX = 128  #: PS3.8 9.3.2.2: presentation contexts have odd numbers from 1 to 255
TIMEOUT_S = 30


@dataclass(frozen=True)
class StorePeer:
    """Whom to call, and as whom."""

    host: str
    port: int
    called_ae: str
    calling_ae: str


@dataclass(frozen=True)
class SendResult:
    """What became of one file."""

    path: Path
    stored: bool
    answer: str


def dicom_files(folder: Path) -> list[Path]:
    """Return the DICOM files below a folder, sorted; raise ConfigurationError if there are none."""
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is no folder")
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and is_dicom(path)]
    if not found:
        raise ConfigurationError(f"{folder} holds no DICOM files")
    return found


def send(files: Sequence[Path], peer: StorePeer, done: Callable[[], None]) -> list[SendResult]:
    """Send the files on one association, calling `done` after each."""
    sent = []
    entity = RemoteEntity(peer.host, peer.port, peer.called_ae, peer.calling_ae, TIMEOUT_S)
    try:
        with open_association(entity, _contexts(files)) as association:
            for path in files:
                sent.append(_send_one(association, path))
                done()
    except AssociationFailed as error:
        raise DeliveryFailed(
            f"{error}; does its list of calling AE titles contain {peer.calling_ae}?"
        ) from None
    return sent


def _contexts(files: Sequence[Path]) -> list[ProposedContext]:
    """Return the SOP classes and transfer syntaxes of the files, so that nothing is converted."""
    wanted = dict.fromkeys(_context(path) for path in files)
    if len(wanted) > CONTEXTS_MAX:
        raise ConfigurationError("too many SOP classes for one association: send parts")
    return [(sop_class, [syntax]) for sop_class, syntax in wanted]


def _context(path: Path) -> tuple[str, str]:
    meta = read_file_meta_info(path)
    return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)


def _send_one(association: Association, path: Path) -> SendResult:
    if not association.is_established:
        return SendResult(path, stored=False, answer="the association broke before")
    try:
        status = association.send_c_store(path).get("Status")
    except (ValueError, InvalidDicomError, AttributeError) as error:
        return SendResult(path, stored=False, answer=str(error))
    if status is None:
        return SendResult(path, stored=False, answer="no answer")
    return SendResult(path, stored=is_stored(status), answer=describe_status(status))
