"""Storage SOP classes that are accepted: standard ones, private ones of vendors, and a site's own.

An instance of a private class is kept like any other instance without an image, and is not read.
If the class were rejected, the sender could report the whole study as failed. The private UIDs are
from the vendors' conformance statements, and from the lists of dcm4che (org.dcm4che3.data.UID) and
fo-dicom (DicomUID), which agree; they are those of MR scanners and cardiac workstations. No list of
United Imaging is public. A site adds classes, or accepts any, in its settings.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Self

from pydicom.uid import UID
from pynetdicom import register_uid
from pynetdicom.service_class import ServiceClass, StorageServiceClass
from pynetdicom.sop_class import uid_to_service_class

from triage.config import ReceiverSettings
from triage.dimse.pynetdicom_internals import STORAGE_CLASSES
from triage.domain.uid import has_storage_root, is_uid

PRIVATE_CLASSES = {
    "SiemensCSANonImageStorage": "1.3.12.2.1107.5.9.1",
    "SiemensCTMRVolumeStorage": "1.3.12.2.1107.5.99.3.10",
    "PhilipsPrivateMRSpectrumStorage": "1.3.46.670589.11.0.0.12.1",
    "PhilipsPrivateMRSeriesDataStorage": "1.3.46.670589.11.0.0.12.2",
    "PhilipsPrivateMRColorImageStorage": "1.3.46.670589.11.0.0.12.3",
    "PhilipsPrivateMRExamcardStorage": "1.3.46.670589.11.0.0.12.4",
    "PhilipsPrivateMRCardioProfileStorage": "1.3.46.670589.5.0.7",
    "PhilipsPrivateMRCardioStorageRetired": "1.3.46.670589.5.0.8",
    "PhilipsPrivateMRCardioStorage": "1.3.46.670589.5.0.8.1",
    "PhilipsPrivateMRSyntheticImageStorage": "1.3.46.670589.5.0.10",
    "PhilipsPrivateMRCardioAnalysisStorageRetired": "1.3.46.670589.5.0.11",
    "PhilipsPrivateMRCardioAnalysisStorage": "1.3.46.670589.5.0.11.1",
    "GEPrivateDicomMRImageInfoObject": "1.2.840.113619.4.2",
    "GEPrivate3DModelStorage": "1.2.840.113619.4.26",
    "GEPrivatePETRawDataStorage": "1.2.840.113619.4.30",
    "CanonPrivateToshibaUSImageStorage": "1.2.392.200036.9116.7.8.1.1.1",
}


@dataclass(frozen=True)
class AcceptedClasses:
    """The storage SOP classes that a receiver accepts; `in` tests a UID."""

    more: tuple[str, ...] = ()  #: of this site, beside those of `list_storage_classes`
    is_any: bool = False  #: every class that may be a storage class

    @classmethod
    def of(cls, settings: ReceiverSettings) -> Self:
        """Return the classes that all receivers of a site accept."""
        return cls(settings.storage_classes, settings.storage == "any")

    def __iter__(self) -> Iterator[str]:
        """Yield the UID of every class that is known before a sender proposes it."""
        return iter(dict.fromkeys([*list_storage_classes(), *self.more]))

    def __contains__(self, sop_class_uid: object) -> bool:
        """Return whether instances of a class are kept."""
        if sop_class_uid in self.more or sop_class_uid in list_storage_classes():
            return True
        return self.is_any and may_be_storage_class(str(sop_class_uid))

    def find_unlisted(self, sop_class_uids: Collection[str]) -> list[str]:
        """Return those of the classes that are accepted though they are not listed."""
        listed = set(self)
        return [uid for uid in dict.fromkeys(sop_class_uids) if uid not in listed and uid in self]


def may_be_storage_class(sop_class_uid: str) -> bool:
    """Return whether a UID is that of a storage class, or of an unknown class that may be one."""
    if not is_uid(sop_class_uid):
        return False
    service = uid_to_service_class(sop_class_uid)
    is_unknown = service is ServiceClass and has_storage_root(sop_class_uid)
    return service is StorageServiceClass or is_unknown


def describe_class(sop_class_uid: str) -> str:
    """Return the name of a SOP class with its UID; the UID alone if it has no known name."""
    private = {uid: keyword for keyword, uid in PRIVATE_CLASSES.items()}
    name = private.get(sop_class_uid, UID(sop_class_uid).name)
    return name if name == sop_class_uid else f"{name} ({sop_class_uid})"


def list_storage_classes() -> list[str]:
    """Return the UID of every accepted storage SOP class, standard and private."""
    for keyword, uid in PRIVATE_CLASSES.items():
        if keyword not in STORAGE_CLASSES:
            register_uid(uid, keyword, StorageServiceClass)
    return list(STORAGE_CLASSES.values())
