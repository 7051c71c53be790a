"""Fictional reports of fictional radiologists and patients.

The texts are seeded, so that a failure is reproducible. A plant is a sentence with the strings
in it that must not survive; strings that a header contains are also in the header of the plant.
"""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from random import Random
from typing import NamedTuple

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import UID, BasicTextSRStorage, ExplicitVRLittleEndian

FAMILIES = (
    "Müller",
    "Smith",
    "O'Brien",
    "van der Berg",
    "García-López",
    "Fabry",
    "Li",
    "Nguyen",
    "Østergaard",
    "de la Cruz",
    "Weiß",
    "Kowalski",
    "Jones",
    "Al-Rashid",
    "Wright",
    "Chagas",
    "Lee",
    "Dvořák",
)
GIVEN = (
    "Jürgen",
    "Anna",
    "Mary Jane",
    "José",
    "Wei",
    "Bo",
    "Katarzyna",
    "Peter",
    "Siobhán",
    "Ali",
    "Marie-Claire",
    "Tom",
    "Øyvind",
    "Lucía",
)
STRANGERS = (
    "Hartmann",
    "Okonkwo",
    "McDonald",
    "Rossi",
    "Lindqvist",
    "Delacroix",
    "Tanaka",
    "O'Neill",
)
HOSPITALS = (
    "St. Elsewhere Hospital",
    "Klinikum Neustadt",
    "Grace Memorial Hospital",
    "Brompton Heart Centre",
)
STREETS = ("12 Abbey Road", "Gartenstrasse 7", "221 Baker Street")


class Plant(NamedTuple):
    """A sentence, and what in it must go."""

    text: str
    secrets: tuple[str, ...]


class InventedPatient(NamedTuple):
    """The patient, the referring physician and the reader of a study."""

    family: str
    given: str
    doctor: str
    number: str
    accession: str
    born: date
    hospital: str
    street: str

    @property
    def header(self) -> Dataset:
        """Return the identifiers as the header of an image has them."""
        header = Dataset()
        header.PatientName = f"{self.family}^{self.given}"
        header.PatientID = self.number
        header.AccessionNumber = self.accession
        header.PatientBirthDate = f"{self.born:%Y%m%d}"
        header.ReferringPhysicianName = f"{self.doctor}^Karl^^Dr."
        header.InstitutionName = self.hospital
        header.InstitutionAddress = f"{self.street}, 80331 Neustadt"
        header.StudyInstanceUID = "1.2.840.99999.1.7"
        return header


def patient(rng: Random) -> InventedPatient:
    """Draw a patient."""
    family, doctor = rng.sample(FAMILIES, 2)
    return InventedPatient(
        family,
        rng.choice(GIVEN),
        doctor,
        rng.choice(("MRN-{}", "{}", "00{}", "P{}", "{}/7")).format(
            rng.randrange(100_000, 9_999_999)
        ),
        rng.choice(("ACC{}", "{}", "24-MR-{}")).format(rng.randrange(10_000, 999_999)),
        date(1930, 1, 1) + timedelta(rng.randrange(29_000)),
        rng.choice(HOSPITALS),
        rng.choice(STREETS),
    )


Notation = Callable[[Random, InventedPatient], Plant]


def _name(text: str, *secrets: str) -> Plant:
    return Plant(text, tuple(word for secret in secrets for word in secret.split()))


def _patient_name(rng: Random, who: InventedPatient) -> Plant:
    f, g = who.family, who.given
    umlauts = str.maketrans({"ü": "ue", "Ø": "Oe", "ß": "ss"})
    said = rng.choice(
        (
            f"{g} {f}",
            f"{f}, {g}",
            f"{f} {g}",
            f"{f}^{g}".upper(),
            f"{g[0]}. {f}",
            f"{f}, {g[0]}.",
            f"Mr. {f}",
            f"Mrs {g} {f}",
            f"{f.upper()}, {g.upper()}",
            f"{g} {f}".lower(),
            f.translate(umlauts) if f == "Müller" else f,
            g,
            f"{f}'s heart",
        )
    )
    sentence = rng.choice(
        ("Scar in {} as before.", "{} was seen again.", "History: {} had chest pain.")
    )
    words = said.replace("^", " ").replace("'s heart", "").split()
    return Plant(sentence.format(said), tuple(word for word in words if len(word) > 3))


def _doctor(rng: Random, who: InventedPatient) -> Plant:
    said = rng.choice(
        (f"Dr. {who.doctor}", f"{who.doctor}", f"DR {who.doctor.upper()}", f"K. {who.doctor}")
    )
    return _name(
        rng.choice(("Seen with {}.", "Asked for by {} again.")).format(said),
        who.doctor if who.doctor in said else who.doctor.upper(),
    )


def _stranger(rng: Random, _who: InventedPatient) -> Plant:
    name, given = rng.choice(STRANGERS), rng.choice(("Ruth", "Hugo", "Ines"))
    text = rng.choice(
        (
            "Discussed with Dr. {n} by phone.",
            "Prof. Dr. med. {g} {n} agrees.",
            "Electronically signed by: {g} {n}",
            "Electronically signed by {g} {n}, MD",
            "{g} {n}, MD, FRCR",
            "Findings communicated to {g} {n}.",
            "Dictated by {g} {n}",
            "Reviewed by {g} {n}.",
            "Dr {n} was informed.",
            "Mrs. {n} came back.",
            "Patient: {n}, {g}",
            "Attending: {g} {n}",
            "Referring physician: {n}",
            "Dr. {G}. {n} informed.",
            "Results were discussed with Prof. {n} and Dr. {n}.",
            "Signed: {g} {n}",
            "dr. {l} informed",
        )
    )
    said = text.format(n=name, g=given, G=given[0], l=name.lower())
    return Plant(said, tuple(s for s in (name, given, name.lower()) if s in said))


DATES = (
    "%Y-%m-%d",
    "%d.%m.%Y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d.%m.%y",
    "%m/%d/%y",
    "%B %d, %Y",
    "%d %B %Y",
    "%d %b %Y",
    "%d-%b-%Y",
    "%b. %d, %Y",
    "%Y%m%d",
    "%Y/%m/%d",
    "%d-%m-%Y",
    "%B %Y",
    "%b %Y",
    "%m/%Y",
    "%A %d %B",
    "%B %d",
    "%d-%b-%y",
    "%Y-%m-%dT%H:%M:%S",
    "%d%m%Y",
)


def _date(rng: Random, who: InventedPatient) -> Plant:
    day = rng.choice((who.born, date(2015, 1, 1) + timedelta(rng.randrange(3_600))))
    said = day.strftime(rng.choice(DATES))
    sentence = rng.choice(
        ("Compared with {}, no change.", "Unchanged since {}.", "Born {}.", "Study of {}: scar.")
    )
    return Plant(sentence.format(said), (said,))


def _time(rng: Random, _who: InventedPatient) -> Plant:
    said = rng.choice(("10:15", "4:05 pm", "22:41:07", "3 p.m.", "0930 hrs"))
    return Plant(f"Called at {said} by the ward.", (said,))


def _number(rng: Random, who: InventedPatient) -> Plant:
    lone = f"{rng.randrange(10_000, 99_999_999)}"
    said = rng.choice(
        (
            who.number,
            who.number.lower(),
            who.number.replace("-", " "),
            who.accession,
            lone,
            f"MRN {lone[:4]}",
            f"E{lone}",
            f"24CT{lone}",
            f"1.2.840.{lone}.3.1",
            f"{lone}-22",
            "123-45-6789",
            "943 476 5919",
        )
    )
    secret = said.removeprefix("MRN ") if said.startswith("MRN ") and said != who.number else said
    return Plant(
        rng.choice(("See {} for more.", "Study {} shows it.", "({})")).format(said), (secret,)
    )


def _contact(rng: Random, _who: InventedPatient) -> Plant:
    said = rng.choice(
        (
            "555-1234",
            "(212) 555-1234",
            "212-555-1234",
            "+49 171 2345678",
            "+1 (212) 555 1234",
            "0171/2345678",
            "020 7946 0958",
            "01 23 45 67 89",
            "anna.smith@hospital.example",
            "https://ris.example/report?id=77",
            "www.hospital.example/x",
            "212.555.1234",
            "0049 89 1234567",
        )
    )
    return Plant(f"Questions: {said} at any time.", (said,))


def _pager(rng: Random, _who: InventedPatient) -> Plant:
    said = str(rng.randrange(100, 9_999))
    return Plant(f"{rng.choice(('Pager', 'Ext.', 'Tel.', 'bleep'))} {said}", (said,))


def _place(rng: Random, who: InventedPatient) -> Plant:
    said = rng.choice(
        (
            who.hospital,
            who.street,
            "Mayo Clinic",
            "University Hospital Utrecht",
            "40 Elm Street, Boston, MA 02115",
            "Lindenstraße 12",
            "SW3 6NP",
            who.hospital.upper(),
            "Northwood General Hospital",
            "12 rue de Rivoli",
        )
    )
    return Plant(f"Earlier study at {said} known.", (said,))


def _age(rng: Random, _who: InventedPatient) -> Plant:
    said = str(rng.randrange(90, 106))
    return Plant(
        rng.choice(
            (
                "{}-year-old man.",
                "Aged {}.",
                "{} y/o woman.",
                "{}F with dyspnoea.",
                "A {} year old.",
            )
        ).format(said),
        (said,),
    )


NOTATIONS: Sequence[Notation] = (
    _patient_name,
    _doctor,
    _stranger,
    _date,
    _time,
    _number,
    _contact,
    _pager,
    _place,
    _age,
)


def plants(rng: Random, who: InventedPatient) -> list[Plant]:
    """Draw a sentence of each kind."""
    return [notation(rng, who) for notation in NOTATIONS]


# -- messages and documents


def oru(  # noqa: PLR0913 - each is a field that matters
    lines: Sequence[str] = ("IMPRESSION:", "Dilated left ventricle."),
    *,
    accession: str = "ACC1",
    filler: str = "F1",
    patient_id: str = "4711",
    study_uid: str = "",
    status: str = "F",
    moment: str = "20240305101500",
    charset: str = "",
    version: str = "2.3.1",
    obx_3: str = "71250^MRI HEART^L",
    value_type: str = "TX",
) -> str:
    """A message ORU^R01 as a radiology system sends it, segments ended by CR."""
    heart, street = "71250^MRI HEART^L", "12 Abbey Road^^Neustadt"
    order = (
        f"OBR|1|P1|{filler}^RIS|{heart}|||{moment}|||||||||4711^Rossi^Ines||{accession}"
        f"||||{moment}|||{status}|||||||9912&Okonkwo&Hugo"
    )
    segments = [
        f"MSH|^~\\&|RIS|Grace Hospital|PACS|X|{moment}||ORU^R01|77|P|{version}||||||{charset}",
        f"PID|1||{patient_id}^^^H&1.2&ISO^MR||Müller^Jürgen^K||19600229|M|||{street}",
        "PV1|1|O|||||8812^Hartmann^Ruth^^^Dr",
        order,
        *(f"OBX|{n}|{value_type}|{obx_3}||{line}||||||F" for n, line in enumerate(lines, start=1)),
    ]
    if study_uid:
        segments.append(f"ZDS|{study_uid}^^Application^DICOM")
    return "".join(f"{segment}\r" for segment in segments)


def basic_text_sr(sections: Sequence[tuple[Code, str]], header: Dataset, **values: str) -> Dataset:
    """A Basic Text SR of TID 2000: a section for each heading, a text in each."""
    document = Dataset()
    document.update(header)
    document.SOPClassUID = BasicTextSRStorage
    document.SOPInstanceUID = UID("1.2.840.99999.1.7.1")
    document.SeriesInstanceUID = UID("1.2.840.99999.1.7.2")
    document.Modality = "SR"
    document.SeriesNumber = document.InstanceNumber = "1"
    document.ContentDate, document.ContentTime = "20240305", "101500"
    document.StudyDate, document.StudyTime, document.StudyID = "20240305", "101500", "1"
    document.PatientSex = "M"
    document.Manufacturer = "Dictation"
    document.ReferencedPerformedProcedureStepSequence = []
    document.PerformedProcedureCodeSequence = []
    document.CompletionFlag, document.VerificationFlag = "COMPLETE", "UNVERIFIED"
    document.ValueType, document.ContinuityOfContent = "CONTAINER", "SEPARATE"
    document.ConceptNameCodeSequence = [_code(Code("18748-4", "LN", "Diagnostic Imaging Report"))]
    document.ContentSequence = [
        _coded(
            Code("121049", "DCM", "Language of Content Item and Descendants"),
            Code("en", "RFC5646", "English"),
            "HAS CONCEPT MOD",
        ),
        _coded(codes.DCM.ObserverType, codes.DCM.Person, "HAS OBS CONTEXT"),
        _person("Okonkwo^Hugo"),
        *(_section(heading, text) for heading, text in sections),
    ]
    for keyword, value in values.items():
        setattr(document, keyword, value)
    document.file_meta = FileMetaDataset()
    document.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    document.SpecificCharacterSet = "ISO_IR 192"
    return document


def _section(heading: Code, text: str) -> Dataset:
    section = _item("CONTAINER", heading, "CONTAINS")
    section.ContinuityOfContent = "SEPARATE"
    inner = _item("TEXT", codes.DCM.Finding, "CONTAINS")
    inner.TextValue = text
    section.ContentSequence = [inner]
    return section


def _coded(name: Code, value: Code, relationship: str) -> Dataset:
    item = _item("CODE", name, relationship)
    item.ConceptCodeSequence = [_code(value)]
    return item


def _person(name: str) -> Dataset:
    item = _item("PNAME", codes.DCM.PersonObserverName, "HAS OBS CONTEXT")
    item.PersonName = name
    return item


def _item(kind: str, name: Code, relationship: str) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = relationship, kind
    item.ConceptNameCodeSequence = [_code(name)]
    return item


def _code(concept: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = concept[:3]
    return item
