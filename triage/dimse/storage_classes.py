"""Private storage SOP classes that vendors put into MR studies.

Rule: what a scanner stores beside its images must not fail the study on its way to us; it is kept
like any other instance that is no image, and not read. The UIDs are from the vendors' conformance
statements.
"""

from pynetdicom import register_uid
from pynetdicom.service_class import StorageServiceClass

from triage.dimse.pynetdicom_internals import STORAGE_CLASSES

CLASSES = {
    "SiemensCSANonImageStorage": "1.3.12.2.1107.5.9.1",
    "PhilipsPrivateMRSpectrumStorage": "1.3.46.670589.11.0.0.12.1",
    "PhilipsPrivateMRSeriesDataStorage": "1.3.46.670589.11.0.0.12.2",
    "PhilipsPrivateMRExamcardStorage": "1.3.46.670589.11.0.0.12.4",
}


def storage_classes() -> list[str]:
    """Return the UID of every storage SOP class that is taken, standard and private."""
    for keyword, uid in CLASSES.items():
        if keyword not in STORAGE_CLASSES:
            register_uid(uid, keyword, StorageServiceClass)
    return list(STORAGE_CLASSES.values())
