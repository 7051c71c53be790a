"""Patient attributes of image headers: read as text, and compared between the images of a study.

A study with images of two patients is refused, because a report in the wrong patient's record is
the worst error that this program could make.
"""

import re
from collections.abc import Sequence
from datetime import date

from pydicom import Dataset
from pydicom.multival import MultiValue

from triage.domain.errors import StudyDeclined
from triage.domain.reasons import ReasonCode, because

#: Attributes whose stated values must agree between the images of a study.
PATIENT = ("PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientName")


def refuse_two_patients(evidence: Sequence[Dataset], study_uid: str) -> None:
    """Raise StudyDeclined if the images of a study name more than one patient."""
    for keyword in PATIENT:
        stated = {_normalise(text_value(image, keyword)) for image in evidence} - {""}
        if len(stated) > 1:
            reason = because(
                ReasonCode.SEVERAL_PATIENTS,
                study_uid=study_uid,
                patients=len(stated),
                keyword=keyword,
            )
            raise StudyDeclined(reason)


def text_value(image: Dataset, keyword: str) -> str:
    """Return the value as text; empty if missing or not valid for its keyword."""
    value = image.get(keyword)
    parts = value if isinstance(value, MultiValue) else [value]
    text = "\\".join("" if part is None else str(part) for part in parts)
    if keyword.endswith("Date"):
        return _normalise_date(text)
    if keyword.endswith("Time"):
        return _normalise_time(text)
    if keyword == "PatientSex":
        return text.strip().upper() if text.strip().upper() in {"M", "F", "O"} else ""
    if keyword == "TimezoneOffsetFromUTC":
        return text.strip() if re.fullmatch(r"[+-]\d{4}", text.strip()) else ""
    return text if text.strip() else ""


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
