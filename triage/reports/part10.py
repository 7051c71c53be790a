"""Encodes a data set as a DICOM file (PS3.10 section 7).

The bytes depend on the data set only, not on a library version or a clock.
"""

from io import BytesIO

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from triage.reports import identity

IMPLEMENTATION_CLASS_UID = UID(identity.uid("implementation class", "CMR triage worker"))
IMPLEMENTATION_VERSION_NAME = "CMRTRIAGE"


def encode(dataset: Dataset) -> bytes:
    """Return `dataset` as a Part 10 file in Explicit VR Little Endian."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    dataset.file_meta = meta
    file = BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()
