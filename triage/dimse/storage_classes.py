"""Storage SOP classes that are accepted: the standard ones and private ones of MR vendors.

An instance of a private class is kept like any other instance without an image, and is not read.
If the class were rejected, the sender could report the whole study as failed. The private UIDs are
from the vendors' conformance statements.
"""

from pynetdicom import register_uid
from pynetdicom.service_class import StorageServiceClass

from triage.dimse.pynetdicom_internals import STORAGE_CLASSES

PRIVATE_CLASSES = {
    "SiemensCSANonImageStorage": "1.3.12.2.1107.5.9.1",
    "PhilipsPrivateMRSpectrumStorage": "1.3.46.670589.11.0.0.12.1",
    "PhilipsPrivateMRSeriesDataStorage": "1.3.46.670589.11.0.0.12.2",
    "PhilipsPrivateMRExamcardStorage": "1.3.46.670589.11.0.0.12.4",
}


def list_storage_classes() -> list[str]:
    """Return the UID of every accepted storage SOP class, standard and private."""
    for keyword, uid in PRIVATE_CLASSES.items():
        if keyword not in STORAGE_CLASSES:
            register_uid(uid, keyword, StorageServiceClass)
    return list(STORAGE_CLASSES.values())
