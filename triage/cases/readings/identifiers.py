"""Who and what a text could name, as the headers beside it know: persons, numbers, dates, places.

Rule: every person name (VR PN) of a header counts, whatever its attribute, for a site puts readers
and operators where it likes; so does every number that stands for the patient, the order or the
visit. The values are identifiers themselves: they are looked for, and never kept.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

from pydicom import DataElement, Dataset
from pydicom.multival import MultiValue


def listed(text: str) -> frozenset[str]:
    """Return the words of a table."""
    return frozenset(text.split())


#: Stand for the patient, a relative, the order, the visit or the examination.
NUMBERS = listed(
    """
    PatientID OtherPatientIDs AccessionNumber StudyID AdmissionID ServiceEpisodeID
    RequestedProcedureID ScheduledProcedureStepID PerformedProcedureStepID
    PlacerOrderNumberImagingServiceRequest FillerOrderNumberImagingServiceRequest
    MedicalRecordLocator InsurancePlanIdentification DeviceSerialNumber
    PatientTelephoneNumbers PatientTelecomInformation PersonTelephoneNumbers
    """
)
DATES = frozenset({"PatientBirthDate"})  #: others are found by what dates look like
PLACES = listed(
    """
    InstitutionName InstitutionAddress InstitutionalDepartmentName PatientAddress
    PersonAddress RequestingService CurrentPatientLocation PatientInstitutionResidence
    StationName CountryOfResidence RegionOfResidence
    """
)


@dataclass(frozen=True, slots=True)
class Identifiers:
    """What must not be left in a text."""

    names: tuple[str, ...] = ()  #: of persons, components parted by ^ as in PN and XCN
    numbers: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()  #: of birth, YYYYMMDD
    places: tuple[str, ...] = ()  #: institutions and addresses, in one line each

    def __or__(self, other: "Identifiers") -> "Identifiers":
        """Return what either knows."""
        return Identifiers(
            *(
                tuple(dict.fromkeys((*getattr(self, each.name), *getattr(other, each.name))))
                for each in fields(self)
            )
        )


NO_IDENTIFIERS = Identifiers()


def header_identifiers(header: Dataset) -> Identifiers:
    """Return what a data set knows, sequences included; what cannot be read is left out."""
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
    return Identifiers(*(tuple(sorted(each)) for each in (names, numbers, dates, places)))


def _elements(dataset: Dataset) -> Iterator[DataElement]:
    """Yield the public elements of all levels; pixels and what does not parse are passed over."""
    for tag in dataset.keys():  # noqa: SIM118 - pydicom converts an element when it is asked for
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
    return [text for each in many if (text := str(each).strip())]
