"""Patient attributes of image headers: read as text, and compared between the images of a study.

A study with images of two patients is refused, because a report in the wrong patient's record is
the worst error that this program could make. One patient whose name is spelled in two ways is one
patient: identifiers and birth dates are compared first, then names (triage/dicom/person_name.py).
"""

import re
from collections.abc import Sequence
from datetime import date

from pydicom import Dataset
from pydicom.multival import MultiValue

from triage.dicom.person_name import Certainty, count_people
from triage.domain.errors import StudyDeclined
from triage.domain.reasons import ReasonCode, because

#: Attributes whose stated values must agree between the images of a study.
IDENTIFIERS = ("PatientID", "IssuerOfPatientID", "PatientBirthDate")
#: Attributes that identify the patient.
PATIENT = (*IDENTIFIERS, "PatientName")
#: Attributes with one value (PS3.6) that identify patient or study; several are never joined.
SINGLE = (*PATIENT, "AccessionNumber", "StudyID")
UTC_OFFSET = re.compile(r"[+-](0\d|1[0-4])[0-5]\d")  #: PS3.3 C.12.1


def refuse_two_patients(evidence: Sequence[Dataset], study_uid: str) -> None:
    """Raise StudyDeclined if the images of a study do not identify one patient.

    Raises:
        StudyDeclined: An image has several values for one identifier, the identifiers or birth
            dates of two images differ, or their names are of two people.
    """
    _refuse_several_values(evidence)
    for keyword in IDENTIFIERS:
        stated = {_normalise(text_value(image, keyword)) for image in evidence} - {""}
        if len(stated) > 1:
            raise _several_patients(study_uid, keyword, len(stated))
    names = {text_value(image, "PatientName") for image in evidence} - {""}
    people = count_people(names, _judge_certainty(evidence))
    if people > 1:
        raise _several_patients(study_uid, "PatientName", people)


def list_spellings(evidence: Sequence[Dataset]) -> list[str]:
    """Return the different spellings of the patient's name, as written; sorted."""
    return sorted({text_value(image, "PatientName") for image in evidence} - {""})


def text_value(image: Dataset, keyword: str) -> str:
    """Return the value as text; empty if missing, not valid, or not a single one.

    Equal values are one value; different ones are never joined, because the result would be an
    identifier that no system has issued.
    """
    stated = distinct_values(image, keyword)
    if len(stated) != 1:
        return ""
    text = stated[0]
    if keyword.endswith("Date"):
        return _normalise_date(text)
    if keyword.endswith("Time"):
        return _normalise_time(text)
    if keyword == "PatientSex":
        return text.strip().upper() if text.strip().upper() in {"M", "F", "O"} else ""
    if keyword == "TimezoneOffsetFromUTC":
        return text.strip() if UTC_OFFSET.fullmatch(text.strip()) else ""
    return text


def distinct_values(image: Dataset, keyword: str) -> list[str]:
    """Return the stated values that differ by more than blanks, each once and in order."""
    value = image.get(keyword)
    found: dict[str, str] = {}
    for part in value if isinstance(value, MultiValue) else [value]:
        text = "" if part is None else str(part)
        if text.strip():
            found.setdefault(text.strip(), text)
    return list(found.values())


def _refuse_several_values(evidence: Sequence[Dataset]) -> None:
    for keyword in SINGLE:
        values = max((len(distinct_values(image, keyword)) for image in evidence), default=0)
        if values > 1:
            raise StudyDeclined(because(ReasonCode.SEVERAL_VALUES, keyword=keyword, values=values))


def _several_patients(study_uid: str, keyword: str, patients: int) -> StudyDeclined:
    return StudyDeclined(
        because(
            ReasonCode.SEVERAL_PATIENTS, study_uid=study_uid, patients=patients, keyword=keyword
        )
    )


def _judge_certainty(evidence: Sequence[Dataset]) -> Certainty:
    """Return what the identifiers show; those that are stated agree already."""
    if not all(text_value(image, "PatientID") for image in evidence):
        return Certainty.NONE
    is_confirmed = all(text_value(image, "PatientBirthDate") for image in evidence)
    return Certainty.CONFIRMED if is_confirmed else Certainty.IDENTIFIED


def _normalise_date(text: str) -> str:
    """Return a DA value (PS3.5 6.2), also from the dotted form of ACR-NEMA; empty if invalid."""
    digits = text.strip().replace(".", "")
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return ""
    return digits if re.fullmatch(r"[0-9]{8}", digits) else ""


def _normalise_time(text: str) -> str:
    """Return a TM value (PS3.5 6.2), also from ACR-NEMA's colon form; empty if invalid."""
    digits = text.strip().replace(":", "")
    hours_minutes_seconds = r"([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?"
    return digits if re.fullmatch(hours_minutes_seconds, digits, re.ASCII) else ""


def _normalise(text: str) -> str:
    """Return a value without case, blanks and empty name parts, to compare spellings."""
    return re.sub(r"[\s^=]+", " ", text).strip().casefold()
