"""A folder, on this machine or on a share, to which products are written as files.

    <folder>/<SOP Instance UID>.dcm         a complete product (or .hl7, .json)
    <folder>/.<SOP Instance UID>.dcm.part   a file that is being written

A file with its final name is complete and durable: it is written under the other name and fsynced,
gets its final name by a rename, and the folder is fsynced before the product counts as delivered.
File names are UIDs made by this program and contain nothing of a patient. A file is never
overwritten: the same content again changes nothing, other content is an error. The folder itself is
never created: if a share is not mounted, reports would go to the empty folder below it.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from triage.config import DestinationSettings
from triage.destinations.destination_type import DestinationType
from triage.domain.audit import AuditPeer
from triage.domain.delivery import DICOM, HL7, JSON, TEXT, Acknowledgement, Product
from triage.domain.errors import DeliveryFailed, DestinationUnreachable

#: Extension of the file name for each media type.
EXTENSIONS: Mapping[str, str] = {DICOM: ".dcm", HL7: ".hl7", JSON: ".json", TEXT: ".txt"}
#: Readable by the owner and the group: the program that collects the files may have another user.
MODE = 0o640


class FolderDestinationSettings(DestinationSettings):
    """A folder to which products are written as files."""

    kind: Literal["folder"]
    path: Path

    def audit_peer(self) -> AuditPeer:
        """Return the folder as a file URI."""
        return AuditPeer(self.name, self.path.absolute().as_uri(), is_dicom=False)


class FolderDestination:
    """Writes products to a folder; implements `Destination`."""

    media_types: Collection[str] = tuple(EXTENSIONS)

    def __init__(self, _calling_ae: str, settings: FolderDestinationSettings) -> None:
        self.name = settings.name
        self._path = settings.path

    def choose(self, offers: Sequence[Product]) -> Product:
        """Return the first product: a folder takes every form."""
        return offers[0]

    def deliver(self, product: Product) -> Acknowledgement:
        """Write a product to a file with its final name."""
        name = product.sop_instance_uid + EXTENSIONS[product.media_type]
        try:
            return self._store(self._path / name, product.content)
        except OSError as error:  # full, not mounted or not writable: other products fail as well
            raise self._unreachable(str(error.strerror)) from None

    def echo(self) -> Acknowledgement:
        """Check that the folder exists and is writable; nothing is written."""
        if not self._path.is_dir():
            raise self._unreachable("it is no folder; is its share mounted?")
        if not os.access(self._path, os.W_OK | os.X_OK):
            raise self._unreachable("this program has no permission to write to it")
        return Acknowledgement("the folder exists and is writable")

    def _store(self, path: Path, content: bytes) -> Acknowledgement:
        if not path.exists():
            self._write(path, content)
        elif path.read_bytes() != content:
            raise DeliveryFailed(f"{path} exists with other content; find its origin and remove it")
        # Also for an existing file: the process that renamed it may have been killed.
        _fsync_folder(self._path)
        return Acknowledgement(f"written as {path.name}")

    def _write(self, path: Path, content: bytes) -> None:
        """Write the content to a second file, and rename that to `path`.

        The second file is not truncated. If two processes write the same product, because the
        lease of one has expired, both write the same bytes, and the first rename has all of them.
        """
        partial = path.with_name(f".{path.name}.part")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT, MODE)
        with os.fdopen(descriptor, "wb") as file:
            with suppress(OSError):  # some shares do not support this
                os.fchmod(descriptor, MODE)  # the umask of this program removes group rights
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            partial.rename(path)
        except FileNotFoundError:
            if not path.exists():
                raise

    def _unreachable(self, why: str) -> DestinationUnreachable:
        return DestinationUnreachable(f"folder {self._path} gives no answer: {why}")


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


EXAMPLE = """\
# A folder on this machine or on a share, from which another program collects the reports.
name: folder

# folder: each report is written to a file. A file has its final name (the UID of the report
# with .dcm, .hl7, .json or .txt) only when it is complete.
kind: folder

# The folder. It must exist: it is never created, because it may be a share that is not
# mounted. Files are readable by their owner and group (0640). They name the patient, their
# names do not. Under the systemd unit, ReadWritePaths= must list the folder.
path: /srv/reports
"""

DESTINATION = DestinationType(
    settings=FolderDestinationSettings,
    open=FolderDestination,
    media_types=FolderDestination.media_types,
    protocol="files (PS3.10 for DICOM objects)",
    delivered_when="the file and its folder are synchronised to the disk",
    example=EXAMPLE,
)
