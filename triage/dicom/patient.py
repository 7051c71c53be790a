"""Patient attributes of image headers: read as text, and compared between the images of a study.

Images of two patients in one study are refused: a report in the wrong patient's folder is the worst
that this program could do.
"""

import re
from collections.abc import Sequence
from datetime import date

from pydicom import Dataset
from pydicom.multival import MultiValue

from triage.domain.errors import StudyDeclined

#: In these the images of one study must agree, where they state them.
PATIENT = ("PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientName")


def refuse_two_patients(evidence: Sequence[Dataset], study_uid: str) -> None:
    """Raise StudyDeclined where images of one study name more than one patient."""
    for keyword in PATIENT:
        stated = {_folded(text_value(image, keyword)) for image in evidence} - {""}
        if len(stated) > 1:
            raise StudyDeclined(
                f"study {study_uid} holds images of {len(stated)} patients: they differ in"
                f" {keyword}; correct it in the archive and send it under new UIDs"
            )


def text_value(image: Dataset, keyword: str) -> str:
    """The value as text; blank where it is missing or is not what its name says."""
    value = image.get(keyword)
    parts = value if isinstance(value, MultiValue) else [value]
    text = "\\".join("" if part is None else str(part) for part in parts)
    if keyword.endswith("Date"):
        return _date(text)
    if keyword.endswith("Time"):
        return _time(text)
    if keyword == "PatientSex":
        return text.strip().upper() if text.strip().upper() in {"M", "F", "O"} else ""
    if keyword == "TimezoneOffsetFromUTC":
        return text.strip() if re.fullmatch(r"[+-]\d{4}", text.strip()) else ""
    return text if text.strip() else ""


def _date(text: str) -> str:
    """A DA value (PS3.5 6.2); the dotted form of ACR-NEMA becomes today's."""
    digits = text.strip().replace(".", "")
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return ""
    return digits if re.fullmatch(r"[0-9]{8}", digits) else ""


def _time(text: str) -> str:
    """A TM value (PS3.5 6.2); the form of ACR-NEMA with colons becomes today's."""
    digits = text.strip().replace(":", "")
    hours_minutes_seconds = r"([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?"
    return digits if re.fullmatch(hours_minutes_seconds, digits, re.ASCII) else ""


def _folded(text: str) -> str:
    """What two spellings of one value have in common: case, blanks and empty name parts aside."""
    return re.sub(r"[\s^=]+", " ", text).strip().casefold()
