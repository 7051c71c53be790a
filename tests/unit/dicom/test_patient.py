"""One patient or two: identifiers, birth dates and the spellings of a name."""

from itertools import permutations
from typing import Any

import pytest
from pydicom import Dataset

from tests.builders.images import image
from triage.dicom.patient import list_spellings, refuse_two_patients, text_value
from triage.domain.errors import StudyDeclined
from triage.domain.reasons import ReasonCode

THREE_GROUPS = "Yamada^Tarou=山田^太郎=やまだ^たろう"
#: Letters as Japanese systems write them.
FULL_WIDTH = {ord(letter): ord(letter) + 0xFEE0 for letter in "Miler"}
SAME = [
    ("YAMADA^TAROU", THREE_GROUPS),
    ("山田^太郎", THREE_GROUPS),
    ("Müller^Anna", "Mu\u0308ller^Anna"),
    ("Müller^Anna", "MUELLER^ANNA"),
    ("Müller^Anna", "Muller^Anna"),
    ("Miller^Anna^^^", "MILLER^ANNA"),
    ("Miller, Anna", "Miller^Anna"),
    ("Miller^Anna^Maria", "Miller^Anna"),
    ("Miller^Anna".translate(FULL_WIDTH), "Miller^Anna"),
    ("Łukasz^Jan", "LUKASZ^JAN"),
    ("=山田^太郎", THREE_GROUPS),
    ("Miller^Anna=山田^太郎", "MILLER^ANNA^MARIA=山田^太郎"),
    ("^^^^", "Miller^Anna"),
    ("Nguyễn^Hoa", "Nguyen^Hoa"),
    ("Miller-Smith^Anna", "Miller Smith^Anna"),
    ("Miller-Smith^Anna", "MILLERSMITH^ANNA"),
    ("Miller\u2010Smith^Anna", "Miller-Smith^Anna"),
    ("Müller-Lüdenscheidt^Jo", "MUELLER LUEDENSCHEIDT^JO"),
    ("O'Neil^Anna", "ONEIL^ANNA"),
    ("O'Neil^Anna", "O Neil^Anna"),
    ("O\u2019Neil^Anna", "O\u00b4Neil^Anna"),
    ("O'Neil-Smith^Anna", "ONeil Smith^Anna"),
    ("Miller^Anna^M.", "Miller^Anna^M"),
    ("Miller^Anna M.", "Miller^Anna"),
    ("St. John^Anna", "St.John^Anna"),
    ("ジョン・スミス", "ジョン^スミス"),
]
#: Spellings only beside the same Patient ID and the same birth date.
SAME_IF_CONFIRMED = [
    ("YAMADA^TAROU", "=山田^太郎"),
    ("YAMADA^TAROU", "=山田^太郎=やまだ^たろう"),
    ("山田^太郎", "==やまだ^たろう"),
    ("Иванов^Анна", "IVANOV^ANNA"),
    ("Miller^Anna^M.", "Miller^Anna^Maria"),
    ("Miller^Anna^M", "MILLER^ANNA MARIA"),
]
DIFFERENT = [
    ("Miller^Anna", "Miller^Berta"),
    ("Miller^Anna", "Smith^Anna"),
    ("山田^太郎", "山田^花子"),
    ("YAMADA^TAROU=山田^太郎", "YAMADA^TAROU=山田^次郎"),
    ("Anna", "Miller^Anna"),
    ("Miller^Berta", "Miller^Anna Berta"),
    ("YAMADA^HANAKO", THREE_GROUPS),
    ("Miller^Anna^M.", "Miller^Anna^Berta"),
    ("Miller^A.", "Miller^Berta"),
    ("Miller^A.", "Miller^Anna"),
    ("Miller^Tim", "Miller^Tom"),
    ("Miller-Smith^Anna", "Miller^Anna"),
    ("Li^Na", "L^Ina"),
    ("4711", "Miller^Anna"),
]
SEVERAL = [
    ["=山田^太郎=やまだ^たろう", "YAMADA^TAROU", "SUZUKI^ICHIROU"],
    ["MILLER^ANNA^MARIA", "MILLER^ANNA^BERTA", "Miller^Anna"],
    ["MILLER^ANNA^MARIA", "MILLER^ANNA^MARTHA", "miller^anna^m"],
    ["Miller-Smith^Anna", "Miller Smith^Anna^Maria", "Miller Smith^Anna^Berta"],
]
CONFIRMED = {"PatientBirthDate": "19610305", "IssuerOfPatientID": "HOSPITAL"}


def pair(first: dict[str, Any], second: dict[str, Any]) -> list[Dataset]:
    known = {"PatientBirthDate": "19610305"}
    return [image(number=1, **known | first), image(number=2, **known | second)]


def named(*names: str, **values: Any) -> list[Dataset]:
    return [
        image(number=number, SpecificCharacterSet="ISO_IR 192", PatientName=name, **values)
        for number, name in enumerate(names)
    ]


def code_of(images: list[Dataset]) -> ReasonCode:
    with pytest.raises(StudyDeclined) as declined:
        refuse_two_patients(images, "1.2.3")
    return declined.value.reason.code


@pytest.mark.parametrize("names", SAME)
def test_two_spellings_are_one_patient_and_are_counted(names: tuple[str, str]) -> None:
    for images in (named(*names), named(*reversed(names))):
        refuse_two_patients(images, "1.2.3")
        assert len(list_spellings(images)) == 2


@pytest.mark.parametrize("names", SAME_IF_CONFIRMED)
def test_a_name_in_another_script_needs_the_same_birth_date(names: tuple[str, str]) -> None:
    for given in (names, tuple(reversed(names))):
        images = named(*given, **CONFIRMED)
        refuse_two_patients(images, "1.2.3")
        assert len(list_spellings(images)) == 2
        assert code_of(named(*given)) is ReasonCode.SEVERAL_PATIENTS
        assert code_of(named(*given, **CONFIRMED, PatientID="")) is ReasonCode.SEVERAL_PATIENTS


def test_a_birth_date_that_one_image_lacks_confirms_nothing() -> None:
    images = named("YAMADA^TAROU", "=山田^太郎", **CONFIRMED)
    images[1].PatientBirthDate = ""
    assert code_of(images) is ReasonCode.SEVERAL_PATIENTS


@pytest.mark.parametrize("birth", ["", "19610305"])
@pytest.mark.parametrize("names", DIFFERENT)
def test_two_names_are_two_patients(names: tuple[str, str], birth: str) -> None:
    assert code_of(named(*names, PatientBirthDate=birth)) is ReasonCode.SEVERAL_PATIENTS


@pytest.mark.parametrize("names", SEVERAL)
def test_a_name_that_fits_two_people_does_not_join_them(names: list[str]) -> None:
    for given in permutations(names):
        assert code_of(named(*given, **CONFIRMED)) is ReasonCode.SEVERAL_PATIENTS


def test_three_spellings_of_one_name_are_one_patient() -> None:
    for given in permutations(["Müller-Weiß^Anna", "MUELLER WEISS^ANNA", "Mullerweiss^Anna^M."]):
        refuse_two_patients(named(*given, **CONFIRMED), "1.2.3")


def test_part_of_a_name_is_not_enough_without_a_patient_id() -> None:
    names = ("Miller^Anna^Maria", "Miller^Anna")
    assert code_of(named(*names, PatientID="")) is ReasonCode.SEVERAL_PATIENTS


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"PatientID": "4711"}, {"PatientID": "4712"}),
        ({"IssuerOfPatientID": "A"}, {"IssuerOfPatientID": "B"}),
        ({"PatientBirthDate": "19610305"}, {"PatientBirthDate": "19610306"}),
    ],
)
def test_another_identifier_is_another_patient_whatever_the_name(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert code_of(pair(first, second)) is ReasonCode.SEVERAL_PATIENTS


@pytest.mark.parametrize("keyword", ["PatientID", "AccessionNumber", "StudyID", "PatientName"])
def test_equal_values_collapse_and_different_ones_decline_the_study(keyword: str) -> None:
    twice: dict[str, Any] = {keyword: ["4711", "4711 "]}
    same = image(**twice)
    refuse_two_patients([same], "1.2.3")
    assert text_value(same, keyword) == "4711"
    different: dict[str, Any] = {keyword: ["4711", "0815"]}
    other = image(**different)
    assert text_value(other, keyword) == ""
    assert code_of([same, other]) is ReasonCode.SEVERAL_VALUES


def test_a_reason_names_no_patient() -> None:
    with pytest.raises(StudyDeclined) as declined:
        refuse_two_patients([image(PatientID=["4711", "0815"])], "1.2.3")
    assert "4711" not in str(declined.value.reason)
    assert "PatientID" in str(declined.value.reason)
