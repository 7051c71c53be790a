"""Studies in which every identifier is a unique mark, so that tests can search for it afterwards.

Identifying attributes come from the standard's dictionary as far as possible: all of group 0010
(the patient), all names of persons, and those of other groups that contain numbers, places and free
texts (PS3.15 table E.1-1).
"""

import hashlib
import re
from base64 import b32encode, b64decode
from collections.abc import Iterator, Mapping

from pydicom import Dataset
from pydicom._dicom_dict import DicomDictionary

PATIENT_GROUP = 0x0010
#: Value representations of text, which may contain a name.
TEXTS = {"PN", "LO", "SH", "LT", "ST", "UT", "UC"}
OTHERS = (
    "AccessionNumber",
    "StudyID",
    "StudyComments",
    "ImageComments",
    "VisitComments",
    "AdmissionID",
    "CurrentPatientLocation",
    "PatientInstitutionResidence",
    "ReferringPhysicianAddress",
    "ReferringPhysicianTelephoneNumbers",
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
    "StationName",
    "DeviceSerialNumber",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
    "RequestedProcedureComments",
    "ReasonForStudy",
    "RequestingService",
    "FillerOrderNumberImagingServiceRequest",
    "PlacerOrderNumberImagingServiceRequest",
    "PerformedProcedureStepDescription",
    "StudyDescription",
    "AcquisitionComments",
)
DATES = {"PatientBirthDate": "18730219", "PatientBirthTime": "031759.271828"}
WORD = re.compile(rb"(?=(zq[a-z]{10}))", re.IGNORECASE)
BASE64 = re.compile(rb"[A-Za-z0-9+/]{12,}")
PRIVATE_GROUP = 0x0029
PRIVATE_ELEMENT, NESTED = "a private element", "another number in a sequence"


def word(of: str) -> str:
    """Return the mark of an attribute: capital letters that form no word of a language."""
    drawn = b32encode(hashlib.sha256(of.encode()).digest()).decode()
    return "ZQ" + "".join(letter for letter in drawn if letter.isalpha())[:10]


def keywords() -> list[str]:
    """Return every attribute that gets a mark."""
    known = [(tag >> 16, *entry[:1], entry[4]) for tag, entry in DicomDictionary.items()]
    named = {
        keyword
        for group, vr, keyword in known
        if keyword and (vr == "PN" or (group == PATIENT_GROUP and vr in TEXTS))
    }
    return sorted({*named, *OTHERS})


def marks() -> Mapping[str, str]:
    """Return all marks by the name of their attribute."""
    more = ("SeriesDescription", PRIVATE_ELEMENT, NESTED)
    words = {name: word(name) for name in (*keywords(), *more)}
    return {**words, **DATES}


def mark(dataset: Dataset) -> Dataset:
    """Replace every identifier in a data set by its mark; returns the data set."""
    for keyword in keywords():
        setattr(dataset, keyword, word(keyword))
    for keyword, date in DATES.items():
        setattr(dataset, keyword, date)
    other = Dataset()
    other.PatientID, other.TypeOfPatientID = word(NESTED), "TEXT"
    dataset.OtherPatientIDsSequence = [other]
    block = dataset.private_block(PRIVATE_GROUP, "SOMEBODY'S OWN", create=True)
    block.add_new(0x01, "LO", word(PRIVATE_ELEMENT))
    return dataset


def found_in(content: bytes) -> Iterator[str]:
    """Yield the attributes whose marks are in some bytes: any case, UTF-16 or base64."""
    names = {said.lower(): name for name, said in marks().items()}
    found = {names[said] for said in _find_marks(content) if said in names}
    yield from sorted(found)


def _find_marks(content: bytes) -> Iterator[str]:
    """Yield texts with the form of a mark, and dates."""
    for readable in (content, content.replace(b"\0", b""), *_decoded(content)):
        yield from (word.decode().lower() for word in WORD.findall(readable))
        yield from (date for date in DATES.values() if date.encode() in readable)


def _decoded(content: bytes) -> Iterator[bytes]:
    """Yield base64 content decoded at each of the four possible offsets."""
    for run in BASE64.findall(content):
        for begin in range(4):
            whole = (len(run) - begin) // 4 * 4
            yield b64decode(run[begin : begin + whole])
