"""Where studies are fetched from. A new kind is a new file here and a line in `opened`."""

from triage.archives.dicom import GetArchive
from triage.archives.dicomweb import WebArchive
from triage.archives.move import MoveArchive
from triage.config import Archive as Settings
from triage.config import DicomArchive
from triage.ports.archive import Archive


def opened(our_ae: str, settings: Settings) -> Archive:
    """Return a configured archive; nothing is connected yet."""
    if not isinstance(settings, DicomArchive):
        return WebArchive(settings)
    if settings.move_to is None:
        return GetArchive(our_ae, settings)
    return MoveArchive(our_ae, settings, settings.move_to)
