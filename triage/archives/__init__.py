"""The archives from which studies are fetched.

    dicom      C-FIND and C-GET
    move       C-FIND and C-MOVE
    contexts   the presentation contexts of C-GET
    dicomweb   QIDO-RS and WADO-RS
    multipart  the parts of a WADO-RS response
    audited    records queries and fetched studies in the audit trail

A new kind of archive is one module here, its settings in `triage.config.archives`, and one branch
in `open_archive`.
"""

from triage.archives.dicom import GetArchive
from triage.archives.dicomweb import WebArchive
from triage.archives.move import MoveArchive
from triage.config import AnyArchiveSettings, DicomArchiveSettings
from triage.dimse.storage_classes import AcceptedClasses
from triage.ports.archive import Archive


def open_archive(
    our_ae: str,
    settings: AnyArchiveSettings,
    classes: AcceptedClasses = AcceptedClasses(),  # noqa: B008 - it is frozen
) -> Archive:
    """Return a configured archive; it is not connected yet.

    `classes` are the storage classes of instances that are received from it over DICOM.
    """
    if not isinstance(settings, DicomArchiveSettings):
        return WebArchive(settings)
    if settings.move_to is None:
        return GetArchive(our_ae, settings, classes)
    return MoveArchive(our_ae, settings, classes, settings.move_to)
