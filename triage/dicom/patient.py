"""Patient attributes of image headers: read as text, and compared between the images of a study.

A study with images of two patients is refused, because a report in the wrong patient's record is
the worst error that this program could make. One patient whose name is spelled in two ways is one
patient: identifiers and birth dates are compared first, then names by their component groups.
"""

import re
import unicodedata
from collections.abc import Sequence
from datetime import date

from pydicom import Dataset
from pydicom.multival import MultiValue

from triage.domain.errors import StudyDeclined
from triage.domain.reasons import ReasonCode, because

#: Attributes whose stated values must agree between the images of a study.
IDENTIFIERS = ("PatientID", "IssuerOfPatientID", "PatientBirthDate")
#: Attributes that identify the patient.
PATIENT = (*IDENTIFIERS, "PatientName")
#: Attributes with one value (PS3.6) that identify patient or study; several are never joined.
SINGLE = (*PATIENT, "AccessionNumber", "StudyID")
#: Transliterations that hospitals use beside the bare letter, e.g. Müller, Mueller and Muller.
TRANSLITERATIONS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe"})

LEAST_WORDS = 2  #: words of a name that is part of a longer one, e.g. without a middle name
Words = tuple[str, ...]
Groups = Sequence[set[Words]]  #: by script: alphabetic, ideographic, phonetic; empty if missing


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
    is_identified = all(text_value(image, "PatientID") for image in evidence)
    people = _count_people(names, is_identified=is_identified)
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
        return text.strip() if re.fullmatch(r"[+-]\d{4}", text.strip()) else ""
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


def _count_people(names: set[str], *, is_identified: bool) -> int:
    """Return how many people the names are of; 1 if they are spellings of one name.

    Every name is compared with the fullest one.
    """
    groups = {name: found for name in names if any(found := _component_groups(name))}
    fullest = max(groups, key=lambda name: (sum(map(bool, groups[name])), name), default="")
    others = [
        name
        for name in groups
        if not _is_same_name(groups[name], groups[fullest], is_identified=is_identified)
    ]
    return 1 + len({tuple(map(frozenset, groups[name])) for name in others})


def _is_same_name(one: Groups, other: Groups, *, is_identified: bool) -> bool:
    """Return whether two names have a component group in common (PS3.5 6.2.1.1).

    A name with one group may have it in any script. Of two names with several groups, those of the
    same script must agree, because two people may share a spelling in one of them.
    """
    if min(sum(map(bool, one)), sum(map(bool, other))) == 1:
        return any(
            _agree(mine, theirs, is_identified=is_identified)
            for mine in filter(None, one)
            for theirs in filter(None, other)
        )
    shared = [pair for pair in zip(one, other, strict=False) if all(pair)]
    return bool(shared) and all(_agree(*pair, is_identified=is_identified) for pair in shared)


def _agree(one: set[Words], other: set[Words], *, is_identified: bool) -> bool:
    """Return whether two component groups are equal, or one begins with the other.

    The beginning is enough only beside equal Patient IDs, and from two words on.
    """
    if one & other:
        return True
    pairs = [sorted((mine, theirs), key=len) for mine in one for theirs in other]
    return is_identified and any(
        len(short) >= LEAST_WORDS and long[: len(short)] == short for short, long in pairs
    )


def _component_groups(name: str) -> Groups:
    """Return the spellings of each component group of a name, as words without case and accents."""
    groups = []
    for group in name.split("="):
        folded = unicodedata.normalize("NFKC", group).casefold()
        spellings = {_split_words(folded), _split_words(folded.translate(TRANSLITERATIONS))}
        groups.append(spellings - {()})
    return groups


def _split_words(text: str) -> Words:
    plain = unicodedata.normalize("NFKD", text.translate(LETTERS))
    letters = "".join(sign for sign in plain if not unicodedata.combining(sign))
    return tuple(word for word in re.split(r"[\s^,]+", letters) if word)


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
