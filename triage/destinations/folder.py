"""A folder, on this machine or on a share, that takes products as files.

    <folder>/<SOP Instance UID>.dcm         a product, whole (or .hl7, .json)
    <folder>/.<SOP Instance UID>.dcm.part   one that is being written

Rule: a file that has its final name is whole and durable: it is written aside and fsynced, gets its
name by a rename, and the folder is fsynced before it counts as delivered. A name is a UID of ours,
never anything of a patient. Under a UID there is one content: the same again changes nothing, and
what is there is never written over. The folder itself is never made: where a share is not mounted,
reports would go to the empty folder below it.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from triage.config import FolderDestination
from triage.domain.delivery import DICOM, HL7, JSON, Acknowledgement, Product
from triage.domain.errors import DeliveryFailed, DestinationUnreachable

#: What files are called that hold a product of a media type.
EXTENSIONS: Mapping[str, str] = {DICOM: ".dcm", HL7: ".hl7", JSON: ".json"}
#: For its owner and the group that reads them: whoever takes them from here may be somebody else.
MODE = 0o640


class FolderStore:
    """See `ports.Destination`."""

    media_types: Collection[str] = tuple(EXTENSIONS)

    def __init__(self, _calling_ae: str, settings: FolderDestination) -> None:
        self.name = settings.name
        self._path = settings.path

    def choose(self, offers: Sequence[Product]) -> Product:
        """Return the first: a folder takes every form."""
        return offers[0]

    def deliver(self, product: Product) -> Acknowledgement:
        """Write a product under its final name."""
        name = product.sop_instance_uid + EXTENSIONS[product.media_type]
        try:
            return self._kept(self._path / name, product.content)
        except OSError as error:  # full, not mounted, not ours: so it is for every product
            raise self._silent(str(error.strerror)) from None

    def echo(self) -> Acknowledgement:
        """Look whether the folder is there and may be written to; nothing is written."""
        if not self._path.is_dir():
            raise self._silent("it is no folder; is its share mounted?")
        if not os.access(self._path, os.W_OK | os.X_OK):
            raise self._silent("it may not be written to")
        return Acknowledgement("it is there and may be written to")

    def _kept(self, path: Path, content: bytes) -> Acknowledgement:
        if not path.exists():
            self._write(path, content)
        elif path.read_bytes() != content:
            raise DeliveryFailed(f"{path} holds something else: who wrote it? take it away")
        # Who gave it its name may have been killed.
        _fsync_folder(self._path)
        return Acknowledgement(f"written as {path.name}")

    def _write(self, path: Path, content: bytes) -> None:
        """Write aside, then give it its name.

        Nothing is truncated: two that write the same product, one of which was taken for dead,
        write the same bytes to the same places, and whoever is ready first has all of them there.
        """
        aside = path.with_name(f".{path.name}.part")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT, MODE)
        with os.fdopen(descriptor, "wb") as file:
            with suppress(OSError):  # a share may have ways of its own
                os.fchmod(descriptor, MODE)  # our umask leaves the group nothing
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            aside.rename(path)
        except FileNotFoundError:
            if not path.exists():
                raise

    def _silent(self, why: str) -> DestinationUnreachable:
        return DestinationUnreachable(f"folder {self._path} gives no answer: {why}")


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
