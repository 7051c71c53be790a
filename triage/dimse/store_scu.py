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
from pynetdicom import AE
from pynetdicom.association import Association

from triage.dimse.association import AT_ONCE
from triage.dimse.statuses import in_words, is_stored
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
    with _Associated(peer, _contexts(files)) as association:
        for path in files:
            sent.append(_send_one(association, path))
            done()
    return sent


def _contexts(files: Sequence[Path]) -> list[tuple[str, str]]:
    """Return the SOP classes and transfer syntaxes of the files, so that nothing is converted."""
    wanted = dict.fromkeys(_context(path) for path in files)
    if len(wanted) > CONTEXTS_MAX:
        raise ConfigurationError("too many SOP classes for one association: send parts")
    return list(wanted)


def _context(path: Path) -> tuple[str, str]:
    meta = read_file_meta_info(path)
    return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)


class _Associated:
    """An association as a context."""

    def __init__(self, peer: StorePeer, contexts: Sequence[tuple[str, str]]) -> None:
        ae = AE(ae_title=peer.calling_ae)
        for sop_class, syntax in contexts:
            ae.add_requested_context(sop_class, syntax)
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = TIMEOUT_S
        ae.connection_timeout = TIMEOUT_S
        try:
            self._association = ae.associate(
                peer.host, peer.port, ae_title=peer.called_ae, evt_handlers=[AT_ONCE]
            )
        except OSError as error:  # a host name that does not resolve
            raise DeliveryFailed(f"{peer.host}: {error.strerror}") from None
        if not self._association.is_established:
            raise DeliveryFailed(
                f"{peer.called_ae} at {peer.host}:{peer.port} refused or is not there; does its "
                f"list of calling AE titles hold {peer.calling_ae}?"
            )

    def __enter__(self) -> Association:
        return self._association

    def __exit__(self, *_error: object) -> None:
        if self._association.is_established:
            self._association.release()


def _send_one(association: Association, path: Path) -> SendResult:
    if not association.is_established:
        return SendResult(path, stored=False, answer="the association broke before")
    try:
        status = association.send_c_store(path).get("Status")
    except (ValueError, InvalidDicomError, AttributeError) as error:
        return SendResult(path, stored=False, answer=str(error))
    if status is None:
        return SendResult(path, stored=False, answer="no answer")
    return SendResult(path, stored=is_stored(status), answer=in_words(status))
