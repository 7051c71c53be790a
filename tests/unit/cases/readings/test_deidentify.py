"""De-identification removes planted identifiers and keeps medical text."""

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from tests.builders.readings import NOTATIONS, patient, plants
from triage.cases.readings.deidentify import deidentify
from triage.cases.readings.identifiers import Identifiers, header_identifiers
from triage.phantom.heart import draw_heart
from triage.phantom.impression import compose_impression
from triage.phantom.readers import ReaderStyle, list_templates

IMPRESSIONS = 2_000


def test_planted_identifiers_are_removed_and_the_text_around_them_stays() -> None:
    styles, planted, lost, changed = list(ReaderStyle), 0, [], []
    for seed in range(IMPRESSIONS):
        rng = Random(seed)
        who = patient(rng)
        clean = compose_impression(draw_heart(seed), seed, styles[seed % len(styles)]).split("\n")
        lines = [*clean]
        drawn = plants(rng, who)
        for plant in drawn:
            lines.insert(rng.randrange(len(lines) + 1), plant.text)
        clean = deidentify("\n".join(lines), header_identifiers(who.header)).split("\n")
        assert len(clean) == len(lines)
        for plant in drawn:
            after = clean[lines.index(plant.text)]
            planted += len(plant.secrets)
            lost += [(plant.text, after) for secret in plant.secrets if secret in after]
        changed += [
            (one, other)
            for one, other in zip(lines, clean, strict=True)
            if one in clean and one != other
        ]
    print(f"{planted} identifiers planted in {IMPRESSIONS} impressions: {len(lost)} left")
    assert not lost, lost[:10]
    assert not changed, changed[:10]


def test_an_impression_without_identifiers_does_not_change() -> None:
    texts = [
        compose_impression(draw_heart(seed), seed, style)
        for seed in range(IMPRESSIONS, IMPRESSIONS + IMPRESSIONS // len(ReaderStyle) + 1)
        for style in ReaderStyle
    ]
    changed = [text for text in texts if deidentify(text) != text]
    print(f"{len(changed)} of {len(texts)} impressions without identifiers were changed")
    assert len(texts) >= IMPRESSIONS
    assert not changed, changed[:5]


def test_no_report_template_changes() -> None:
    for template in list_templates():
        assert deidentify(template) == template


@pytest.mark.parametrize(
    "text",
    [
        "LVEF 35 %, RVEF 45-50%, 4.2 cm, 3 x 4 x 5 mm, 1.5 T, 12-15 mm, TI 250-300 ms",
        "LGE in segment 12, in 16/17 segments, on 3/16 segments, in segments 10/11/12 and 7-8-12",
        "Murmur 3/6, regurgitation 2/4, Qp:Qs 1.5:1, ratio 2:1, LVEDV 180/110/70 mL",
        "Tetralogy of Fallot, Takotsubo, Chagas, Marfan, Fabry, Anderson-Fabry, so called Loeffler",
        "Mild MR. LV dilated. AS and MS. LGE absent. MR imaging. PM leads. Severe AR.",
        "Native T1 1020 ms, T2 50 ms, ECV 28 %, b 1000, T2* 12 ms, LVEDVi 112 mL/m²",
        "A scar may 12 % of mass exceed; findings may represent amyloid in a 65-year-old man",
        "Infarct in 2019. Follow-up in 6-12 months. Ablation 3 weeks ago.",
        "1. LAD 70-80 %\n2. Mass 2.5 x 1.5 x 3.0 cm\n3. Age 72, EF 95 %",
        "Discussed with cardiology. Compared with the prior study, stable. No. of segments: 4",
    ],
)
def test_medical_text_does_not_change(text: str) -> None:
    assert deidentify(text) == text


def test_the_header_takes_precedence_over_medical_terms_and_negations_stay() -> None:
    known = Identifiers(names=("Fabry^Will", "No^Wall"))
    clean = deidentify(
        "Anderson-Fabry disease. No scar. Inferior wall; Wall seen; Will Fabry.", known
    )
    assert clean == "Anderson-[name] disease. No scar. Inferior wall; [name] seen; [name]."


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        ("Final report by Jane Roe, M.D., Ph.D.", "Jane Roe"),
        ("REPORTED BY: JANE ROE MD", "JANE ROE"),
        ("Pt. John Smith, DOB 2/29/60, MRN#004711", "John Smith 2/29/60 4711"),
        (
            "SSN 123 45 6789, accession No. 22-1234, PACS #8812, patient ID: 12",
            "45 6789 1234 8812 12",
        ),
        ("Ref: Dr. Karl-Heinz von Weizsäcker-Smith; cc: Dr. A. B. Chen", "Karl Weiz Smith Chen"),
        ("Signed on 05-Mar-2024 10:15 AM by ROE, JANE", "05 Mar 10:15 ROE JANE"),
        ("I, Jane Roe, have seen it with Drs Patel, Rao and Chen", "Jane Roe Patel Rao Chen"),
        ("Herr Prof. Dr. Schmidt, Frau Meier, Dr.Smith, dr. SMITH", "Schmidt Meier Smith SMITH"),
        ("Studies of 29Feb1960, 5-Mar, winter 2023; date: 3-5-24", "29 Feb 5-Mar winter 3-5-24"),
        ("Lives in Springfield, IL 62704\n(JR/tk)", "Springfield 62704 JR tk"),
        ("Tel: 555.123.4567 ext 12; a.b@c.de; 20240305-123", "555 4567 12 a.b c.de 20240305 123"),
    ],
)
def test_identifiers_are_removed_without_a_header(text: str, secrets: str) -> None:
    clean = deidentify(text)
    assert [secret for secret in secrets.split() if secret in clean] == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("山田^太郎", "山田太郎 and 山田"),
        ("Достоевская^Жанна", "Достоевская, Жанна"),
        ("MUELLER^JURGEN", "Müller Jürgen"),
        ("Weiß", "Weiss, WEISS and weiß"),
        ("de la Cruz^Maria Isabel", "Maria de la Cruz and M. de la Cruz; de la Cruz M."),
        ("O'Brien^Mary", "O\u2019Brien, OBrien Mary; M.O."),
        ("Li^Bo", "Li Bo; LI, BO; Li"),
    ],
)
def test_every_notation_of_a_name_is_removed(name: str, text: str) -> None:
    clean = deidentify(text, Identifiers(names=(name,)))
    assert not re.findall(r"\w+", clean.replace("[name]", "").replace("and", ""))


def test_every_person_and_number_of_a_header_is_removed() -> None:
    header, step, other = Dataset(), Dataset(), Dataset()
    step.ScheduledPerformingPhysicianName = "Lindqvist^Eva"
    header.RequestAttributesSequence = [step]
    other.PatientID = "XK-9"
    other.PatientID = "XKN-91"
    header.OtherPatientIDsSequence = [other]
    header.OperatorsName = ["Tanaka^Ken", "Rossi"]
    clean = deidentify("Lindqvist, Tanaka and rossi read XKN91.", header_identifiers(header))
    assert clean == "[name] and [name] read [number]."


@given(st.text(max_size=400))
def test_any_text_is_accepted(text: str) -> None:
    who = patient(Random(1))
    deidentify(text, header_identifiers(who.header))


def test_matching_time_is_bounded() -> None:
    for text in (
        "a " * 20_000,
        "A. " * 10_000,
        "1-" * 20_000,
        "Dr. A " * 5_000,
        "J.S." * 10_000,
        "12 " * 10_000,
    ):
        deidentify(text, Identifiers(names=("Adams^John Albert",), numbers=("111111",)))


def test_the_builder_uses_every_notation() -> None:
    assert len({notation(Random(2), patient(Random(3))).text for notation in NOTATIONS}) == len(
        NOTATIONS
    )
