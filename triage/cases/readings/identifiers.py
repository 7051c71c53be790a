"""Identifiers in the DICOM header of a study: persons, numbers, dates of birth and places.

Every person name (VR PN) of a header counts, whatever its attribute, because sites differ in where
they store readers and operators. So does every number of the patient, the order or the visit. The
values are used to search a text, and are never stored.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

from pydicom import DataElement, Dataset
from pydicom.multival import MultiValue


def listed(text: str) -> frozenset[str]:
    """Return the entries of a table."""
    return frozenset(text.split())


#: Attributes that identify the patient, a relative, the order, the visit or the examination.
NUMBERS = listed(
    """
    PatientID OtherPatientIDs AccessionNumber StudyID AdmissionID ServiceEpisodeID
    RequestedProcedureID ScheduledProcedureStepID PerformedProcedureStepID
    PlacerOrderNumberImagingServiceRequest FillerOrderNumberImagingServiceRequest
    MedicalRecordLocator InsurancePlanIdentification DeviceSerialNumber
    PatientTelephoneNumbers PatientTelecomInformation PersonTelephoneNumbers
    """
)
DATES = frozenset({"PatientBirthDate"})  #: other dates are found by their form
PLACES = listed(
    """
    InstitutionName InstitutionAddress InstitutionalDepartmentName PatientAddress
    PersonAddress RequestingService CurrentPatientLocation PatientInstitutionResidence
    StationName CountryOfResidence RegionOfResidence
    """
)


@dataclass(frozen=True, slots=True)
class Identifiers:
    """Values that must not remain in a text."""

    names: tuple[str, ...] = ()  #: of persons, components separated by ^ as in PN and XCN
    numbers: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()  #: of birth, YYYYMMDD
    places: tuple[str, ...] = ()  #: institutions and addresses, in one line each

    def __or__(self, other: "Identifiers") -> "Identifiers":
        """Return the union of both."""
        return Identifiers(
            *(
                tuple(dict.fromkeys((*getattr(self, field.name), *getattr(other, field.name))))
                for field in fields(self)
            )
        )


NO_IDENTIFIERS = Identifiers()


def header_identifiers(header: Dataset) -> Identifiers:
    """Return the identifiers in a data set and its sequences; skips unreadable elements."""
    names, numbers, dates, places = set[str](), set[str](), set[str](), set[str]()
    for element in _elements(header):
        for value in _values(element):
            if element.VR == "PN":
                names.update(group for group in value.split("=") if group.strip("^ "))
            elif element.keyword in NUMBERS:
                numbers.add(value)
            elif element.keyword in DATES:
                dates.add(value)
            elif element.keyword in PLACES:
                places.add(value)
    return Identifiers(*(tuple(sorted(values)) for values in (names, numbers, dates, places)))


def _elements(dataset: Dataset) -> Iterator[DataElement]:
    """Yield the public elements of all levels, without pixels and unreadable elements."""
    for tag in dataset.keys():  # noqa: SIM118 - pydicom converts an element on access
        if tag.is_private or tag.group >= 0x5000:  # noqa: PLR2004 - curves, overlays, pixels
            continue
        try:
            element = dataset[tag]
        except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError):
            continue
        if element.VR == "SQ":
            for item in element.value or ():
                yield from _elements(item)
        else:
            yield element


def _values(element: DataElement) -> Iterable[str]:
    value = element.value
    if value is None or isinstance(value, bytes):
        return []
    many = value if isinstance(value, (MultiValue, list)) else [value]
    return [text for item in many if (text := str(item).strip())]
