"""The HL7 v2.5.1 message ORU^R01 for systems that show no DICOM (chapters 2 and 7).

Rule: everything in it is preliminary and says that it is for research. A finding that was not
evaluated has the status X, never a value that reads as a negative; a quiet study leaves the order's
priority alone, for somebody may have asked for more than routine.

Receiving application and facility (MSH-5, MSH-6) are empty: who receives it is not known here.
"""

import base64
import hashlib
import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.core import Group, Message, Segment
from pydicom import Dataset
from pydicom.sr.coding import Code as Concept
from pydicom.valuerep import PersonName

from triage.domain.assessment import Answer, Assessment, Flag, Priority
from triage.domain.delivery import HL7, Product
from triage.reports import codes, draft, header, identity
from triage.reports.content import one_line
from triage.reports.reporting import Reporting

KIND = "hl7"
ENCODER_VERSION = "1"
VERSION = "2.5.1"
STUDY_UID = Concept("110180", "DCM", "Study Instance UID")
#: LOINC 19005-8 stands in DICOM CID 7001 as the heading of an impression.
IMPRESSION = Concept("19005-8", "LN", "Impressions")
RESEARCH = "RESEARCH USE ONLY. Unverified AI output; not for diagnosis or treatment."
#: HL7 table 0396 names this scheme of DICOM (PS3.16 section 8) otherwise.
SCHEMES = {"UMLS": "UML"}
#: Characters that separate, and their escapes (section 2.7).
ESCAPES = str.maketrans({sign: f"\\{name}\\" for sign, name in zip("\\|^&~", "EFSTR", strict=True)})
LONGEST_LINE = 199  #: receivers that take any OBX-5 for a string (ST) cut there


@dataclass(frozen=True)
class Observation:
    """What becomes one OBX segment."""

    value_type: str
    concept: Concept
    value: str
    sub_id: str = ""
    unit: str = ""
    reference: str = ""
    abnormal: str = ""
    status: str = "P"
    note: str = ""


def build(reporting: Reporting) -> Product:
    """Return the message on the assessment, in UTF-8 with segments that end in a carriage return.

    Raises:
        StudyDeclined: The evidence shows more than one patient.
        ValueError: The evidence is not that of the assessment.
        hl7apy.exceptions.HL7apyException: The message is not what its structure allows.
    """
    with header.ignore_value_warnings():
        images = header.checked_evidence(reporting.evidence, reporting.assessment)
        patient = header.patient_and_study_header(images)
        message = _message(reporting, patient, header.latest_moment(images))
        said = message.to_er7()
        uid = _uid(reporting, said)
        message.msh.msh_10 = control_id(uid)
        message.validate()
        content = message.to_er7() + "\r"
    return Product(KIND, "", uid, content.encode(), HL7)


def control_id(uid: str) -> str:
    """Return the Message Control ID of a message: 20 characters at most (MSH-10)."""
    return base64.b32encode(hashlib.sha256(uid.encode()).digest())[:20].decode()


def escaped(text: str) -> str:
    """Return `text` in one line, with the separators escaped."""
    return one_line(text).translate(ESCAPES)


def _uid(reporting: Reporting, said: str) -> str:
    by, about = reporting.equipment.device_uid, reporting.assessment
    return identity.message_uid(ENCODER_VERSION, KIND, by, about, said.encode())


def _message(reporting: Reporting, patient: Dataset, moment: tuple[str, str]) -> Message:
    message = Message("ORU_R01", version=VERSION, validation_level=VALIDATION_LEVEL.STRICT)
    at = _moment(*moment, patient.get("TimezoneOffsetFromUTC", ""))
    _put_msh(message.msh, reporting, at)
    outcome = message.add_group("ORU_R01_PATIENT_RESULT")
    _put_pid(outcome.add_group("ORU_R01_PATIENT").add_segment("PID"), patient)
    order = outcome.add_group("ORU_R01_ORDER_OBSERVATION")
    _put_obr(order.add_segment("OBR"), patient, at)
    order.add_segment("NTE").nte_3 = escaped(RESEARCH)
    if reporting.assessment.priority is Priority.EXPEDITE:
        # Table 0485: as soon as possible. The worklist ranks; this only asks.
        order.add_group("ORU_R01_TIMING_QTY").add_segment("TQ1").tq1_9 = "A"
    device = _device(reporting)
    for number, observation in enumerate(_observations(reporting.assessment), start=1):
        _put_observation(order, number, observation, device)
    return message


def _put_msh(msh: Segment, reporting: Reporting, at: str) -> None:
    msh.msh_3 = escaped(reporting.equipment.name)
    msh.msh_4 = escaped(reporting.equipment.manufacturer)
    msh.msh_7 = at
    msh.msh_9 = "ORU^R01^ORU_R01"
    msh.msh_10 = "UNNUMBERED"
    msh.msh_11 = "P"
    msh.msh_18 = "UNICODE UTF-8"


def _put_pid(pid: Segment, patient: Dataset) -> None:
    pid.pid_3 = _patient_id(patient)
    for name in _names(patient.PatientName):
        pid.add_field("pid_5").value = name
    if patient.PatientBirthDate:
        pid.pid_7 = patient.PatientBirthDate
    if patient.PatientSex:
        pid.pid_8 = patient.PatientSex


def _patient_id(patient: Dataset) -> str:
    """PID-3, which is required: where no one numbered the patient, the study stands for them.

    Any constant, "unknown" say, would make one person of all patients without a number.
    """
    if not patient.PatientID:
        return f"{patient.StudyInstanceUID}^^^&{patient.StudyInstanceUID}&ISO^U"
    issuer = escaped(patient.get("IssuerOfPatientID", ""))
    return f"{escaped(patient.PatientID)}^^^{issuer}^PI"


def _names(name: PersonName) -> Iterator[str]:
    """PID-5, one repetition for each way of writing (table 0465); unnamed is type U."""
    ways = (("A", name.alphabetic), ("I", name.ideographic), ("P", name.phonetic))
    written = [(way, group) for way, group in ways if group.strip("^ ")]
    for way, group in written:
        family, given, middle, prefix, suffix = (*group.split("^"), "", "", "", "", "")[:5]
        # DICOM has the prefix before the suffix, HL7 after it.
        parts = (family, given, middle, suffix, prefix, "", "L", way)
        yield "^".join(escaped(part) for part in parts)
    if not written:
        yield "^^^^^^U"


def _put_obr(obr: Segment, patient: Dataset, at: str) -> None:
    uid = patient.StudyInstanceUID
    accession = escaped(patient.AccessionNumber)
    obr.obr_1 = "1"
    # The same for every message on the study, so that a later one takes the place of this.
    obr.obr_3 = accession or f"{uid}^^{uid}^ISO"
    obr.obr_4 = _ce(codes.CARDIAC_MRI)
    started = _moment(patient.StudyDate, patient.StudyTime, "")
    if started:
        obr.obr_7 = started
    if accession:
        obr.obr_18 = accession
    obr.obr_22 = at
    obr.obr_25 = "P"


def _observations(assessment: Assessment) -> Iterator[Observation]:
    uid = assessment.study_uid
    yield Observation("HD", STUDY_UID, f"^{uid}^ISO")
    yield _coded(codes.FLAG, codes.FLAGS[assessment.flag])
    yield _coded(codes.PRIORITY, codes.PRIORITIES[assessment.priority])
    if assessment.familiarity is not None:
        known = Flag.YES if assessment.familiarity.is_known else Flag.NO
        yield _coded(codes.FAMILIAR, codes.FLAGS[known])
    yield Observation("TX", IMPRESSION, _lines(draft.marked_impression(assessment)))
    yield Observation("ST", codes.ALGORITHM_NAME, escaped(assessment.model.name))
    yield Observation("ST", codes.ALGORITHM_VERSION, escaped(assessment.model.version))
    for number, answer in enumerate(assessment.answers, start=1):
        yield _presence(str(number), answer)
        yield from _score(str(number), answer)


def _presence(sub_id: str, answer: Answer) -> Observation:
    silent = answer.flag is Flag.NOT_EVALUATED
    return Observation(
        "CWE",
        codes.finding_concept(answer.finding),
        _cwe(codes.PRESENCES[answer.presence]),
        sub_id,
        abnormal="A" if answer.flag is Flag.YES else "",
        # Table 0085: results cannot be obtained.
        status="X" if silent else "P",
        note=f"{answer.finding.name}: AI triage flag {answer.flag}; {answer.reason}",
    )


def _score(sub_id: str, answer: Answer) -> Iterator[Observation]:
    if answer.score is None or not math.isfinite(answer.score):
        return
    threshold = answer.threshold
    known = threshold is not None and math.isfinite(threshold)
    yield Observation(
        "NM",
        codes.score_concept(answer),
        f"{answer.score:.6f}",
        sub_id,
        unit=_ce(codes.RATIO),
        # Not flagged up to the threshold, the threshold included.
        reference=f"<={threshold:.6f}" if known else "",
        abnormal="A" if answer.flag is Flag.YES else "",
        # A score that no threshold was calibrated for says nothing.
        status="X" if answer.flag is Flag.NOT_EVALUATED else "P",
    )


def _lines(text: str) -> str:
    """A text (TX) as lines, which are the repetitions of its field (section 2.A.80)."""
    return "~".join(textwrap.wrap(escaped(text), LONGEST_LINE))


def _coded(concept: Concept, value: Concept) -> Observation:
    return Observation("CWE", concept, _cwe(value))


def _put_observation(order: Group, number: int, said: Observation, device: str) -> None:
    group = order.add_group("ORU_R01_OBSERVATION")
    obx = group.add_segment("OBX")
    values: Sequence[tuple[str, str]] = (
        ("obx_1", str(number)),
        ("obx_2", said.value_type),
        ("obx_3", _ce(said.concept)),
        ("obx_4", said.sub_id),
        ("obx_5", said.value),
        ("obx_6", said.unit),
        ("obx_7", said.reference),
        ("obx_8", said.abnormal),
        ("obx_11", said.status),
        ("obx_18", device),
    )
    for name, value in values:
        for repetition in value.split("~") if value else ():
            obx.add_field(name).value = repetition
    if said.note:
        group.add_segment("NTE").nte_3 = escaped(said.note)


def _device(reporting: Reporting) -> str:
    """OBX-18: which equipment says so."""
    by = reporting.equipment
    return f"{escaped(by.serial)}^{escaped(by.name)}^{by.device_uid}^ISO"


def _ce(concept: Concept) -> str:
    scheme = SCHEMES.get(concept.scheme_designator, concept.scheme_designator)
    return f"{escaped(concept.value)}^{escaped(concept.meaning)}^{escaped(scheme)}"


_cwe = _ce


def _moment(day: str, time: str, offset: str) -> str:
    """Return a time stamp (TS) to the second, or the day alone where no time is known."""
    digits = time.split(".", maxsplit=1)[0] if day else ""
    # Hours without minutes are DICOM, not HL7.
    digits = digits + "00" if len(digits) == len("hh") else digits
    return f"{day}{digits}{offset if digits else ''}"
