"""The HL7 v2.5.1 message ORU^R01, for systems that do not display DICOM (chapters 2 and 7).

A flag is no finding: OBX-8 is A for a flag, OBX-5 the value of the finding itself. All results are
preliminary and marked "research use only". A finding that was not evaluated has
status X, and no value that could be read as negative. Without a flag the message does not change
the priority of the order, which may have been ordered above routine.

Receiving application and facility (MSH-5, MSH-6) are empty, because the receiver is not known here.

MSH-7 and OBR-22 are the time of making: interface engines drop messages that are old. They are set
after the UID, which the content decides without them.
"""

import base64
import hashlib
import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pydicom import Dataset
from pydicom.sr.coding import Code as Concept
from pydicom.valuerep import PersonName

from triage.domain.assessment import Answer, Assessment, Flag, Priority
from triage.domain.delivery import HL7, Product
from triage.reports import codes, draft, header, identity, views
from triage.reports.content import one_line
from triage.reports.reporting import Reporting

if TYPE_CHECKING:
    from hl7apy.core import Group, Message, Segment

KIND = "hl7"
ENCODER_VERSION = "2"
VERSION = "2.5.1"
STUDY_UID = Concept("110180", "DCM", "Study Instance UID")
#: LOINC 19005-8 is the heading of an impression in DICOM CID 7001.
IMPRESSION = Concept("19005-8", "LN", "Impressions")
RESEARCH = "RESEARCH USE ONLY. Unverified AI output; not for diagnosis or treatment."
#: HL7 table 0396 has another name for this scheme of DICOM (PS3.16 section 8).
SCHEMES = {"UMLS": "UML"}
#: Separators and their escapes (section 2.7).
ESCAPES = str.maketrans({sign: f"\\{name}\\" for sign, name in zip("\\|^&~", "EFSTR", strict=True)})
LONGEST_LINE = 199  #: receivers that treat every OBX-5 as a string (ST) cut it there


@dataclass(frozen=True)
class Observation:
    """The content of one OBX segment and its note."""

    value_type: str  #: OBX-2
    concept: Concept  #: OBX-3
    value: str  #: OBX-5
    sub_id: str = ""  #: OBX-4, the number of the finding
    unit: str = ""  #: OBX-6
    reference: str = ""  #: OBX-7
    abnormal: str = ""  #: OBX-8
    status: str = "P"  #: OBX-11
    note: str = ""  #: NTE-3


def build(reporting: Reporting) -> Product:
    """Return the message of an assessment in UTF-8; each segment ends in a carriage return.

    Raises:
        StudyDeclined: The evidence shows more than one patient.
        ValueError: The evidence is not that of the assessment.
        hl7apy.exceptions.HL7apyException: The message violates its structure.
    """
    with header.ignore_value_warnings():
        images = header.checked_evidence(reporting.evidence, reporting.assessment)
        patient = header.patient_and_study_header(images)
        message = _message(reporting, patient)
        uid = _uid(reporting, message.to_er7())
        message.msh.msh_10 = control_id(uid)
        _put_time(message, reporting.made_at_of(uid))
        message.validate()
        content = message.to_er7() + "\r"
    return Product(KIND, "", uid, content.encode(), HL7)


def control_id(uid: str) -> str:
    """Return the Message Control ID of a message, at most 20 characters (MSH-10)."""
    return base64.b32encode(hashlib.sha256(uid.encode()).digest())[:20].decode()


def escape(text: str) -> str:
    """Return `text` in one line, with the separators escaped."""
    return one_line(text).translate(ESCAPES)


def _uid(reporting: Reporting, unnumbered: str) -> str:
    by, about = reporting.equipment.device_uid, reporting.assessment
    return identity.message_uid(ENCODER_VERSION, KIND, by, about, unnumbered.encode())


def _message(reporting: Reporting, patient: Dataset) -> "Message":
    # Imported on use: receivers import the registry of reports, but never build a message.
    from hl7apy.consts import VALIDATION_LEVEL  # noqa: PLC0415
    from hl7apy.core import Message  # noqa: PLC0415

    message = Message("ORU_R01", version=VERSION, validation_level=VALIDATION_LEVEL.STRICT)
    _put_msh(message.msh, reporting)
    outcome = message.add_group("ORU_R01_PATIENT_RESULT")
    _put_pid(outcome.add_group("ORU_R01_PATIENT").add_segment("PID"), patient)
    order = outcome.add_group("ORU_R01_ORDER_OBSERVATION")
    offset = header.utc_offset(patient, reporting.made_at)
    _put_obr(order.add_segment("OBR"), patient, offset)
    order.add_segment("NTE").nte_3 = escape(RESEARCH)
    if reporting.assessment.priority is Priority.EXPEDITE:
        # Table 0485: as soon as possible. It is a proposal; the worklist decides.
        order.add_group("ORU_R01_TIMING_QTY").add_segment("TQ1").tq1_9 = "A"
    device = _device(reporting)
    for number, observation in enumerate(_observations(reporting.assessment), start=1):
        _put_observation(order, number, observation, device)
    return message


def _put_time(message: "Message", made_at: datetime) -> None:
    at = f"{made_at:%Y%m%d%H%M%S%z}"
    message.msh.msh_7 = at
    message.oru_r01_patient_result.oru_r01_order_observation.obr.obr_22 = at


def _put_msh(msh: "Segment", reporting: Reporting) -> None:
    msh.msh_3 = escape(reporting.equipment.name)
    msh.msh_4 = escape(reporting.equipment.manufacturer)
    msh.msh_7 = ""  # the library puts the current second, which must not be in the UID
    msh.msh_9 = "ORU^R01^ORU_R01"
    msh.msh_10 = "UNNUMBERED"
    msh.msh_11 = "P"
    msh.msh_18 = "UNICODE UTF-8"


def _put_pid(pid: "Segment", patient: Dataset) -> None:
    pid.pid_3 = _patient_id(patient)
    for name in _names(patient.PatientName):
        pid.add_field("pid_5").value = name
    if patient.PatientBirthDate:
        pid.pid_7 = patient.PatientBirthDate
    if patient.PatientSex:
        pid.pid_8 = patient.PatientSex


def _patient_id(patient: Dataset) -> str:
    """Return PID-3, which is required; without a Patient ID it is the Study Instance UID.

    A constant such as "unknown" would merge all patients without a number into one person.
    """
    if not patient.PatientID:
        return f"{patient.StudyInstanceUID}^^^&{patient.StudyInstanceUID}&ISO^U"
    issuer = escape(patient.get("IssuerOfPatientID", ""))
    return f"{escape(patient.PatientID)}^^^{issuer}^PI"


def _names(name: PersonName) -> Iterator[str]:
    """Yield PID-5, one repetition per representation (table 0465); unnamed is type U."""
    groups = (("A", name.alphabetic), ("I", name.ideographic), ("P", name.phonetic))
    filled = [(code, group) for code, group in groups if group.strip("^ ")]
    for code, group in filled:
        family, given, middle, prefix, suffix = (*group.split("^"), "", "", "", "", "")[:5]
        # DICOM has the prefix before the suffix, HL7 after it.
        parts = (family, given, middle, suffix, prefix, "", "L", code)
        yield "^".join(escape(part) for part in parts)
    if not filled:
        yield "^^^^^^U"


def _put_obr(obr: "Segment", patient: Dataset, offset: str) -> None:
    uid = patient.StudyInstanceUID
    accession = escape(patient.AccessionNumber)
    obr.obr_1 = "1"
    # Equal for all messages on the study, so that a later one replaces this.
    obr.obr_3 = accession or f"{uid}^^{uid}^ISO"
    obr.obr_4 = _ce(codes.CARDIAC_MRI)
    # Stated, because otherwise the offset of MSH-7 holds for it (section 2.15.9.7).
    started = _moment(patient.StudyDate, patient.StudyTime, offset)
    if started:
        obr.obr_7 = started
    if accession:
        obr.obr_18 = accession
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
    yield Observation("ST", codes.ALGORITHM_NAME, escape(assessment.model.name))
    yield Observation("ST", codes.ALGORITHM_VERSION, escape(assessment.model.version))
    for number, answer in enumerate(assessment.answers, start=1):
        yield _presence(str(number), answer)
        yield from _score(str(number), answer)


def _presence(sub_id: str, answer: Answer) -> Observation:
    silent = answer.flag is Flag.NOT_EVALUATED
    review = ", flagged for review" if answer.flag is Flag.YES else ""
    return Observation(
        "CWE",
        codes.finding_concept(answer.finding),
        _cwe(codes.PRESENCES[answer.presence]),
        sub_id,
        abnormal="A" if answer.flag is Flag.YES else "",
        # Table 0085: results cannot be obtained.
        status="X" if silent else "P",
        note=f"{answer.finding.name}: AI triage flag {answer.flag}{review}; "
        f"{views.spell_out_views(answer.reason)}",
    )


def _score(sub_id: str, answer: Answer) -> Iterator[Observation]:
    if answer.score is None or not math.isfinite(answer.score):
        return
    threshold = answer.threshold
    silent = answer.flag is Flag.NOT_EVALUATED
    # Receivers may compare with the reference range, so a silent score has none.
    has_threshold = threshold is not None and math.isfinite(threshold) and not silent
    yield Observation(
        "NM",
        codes.score_concept(answer),
        f"{answer.score:.6f}",
        sub_id,
        unit=_ce(codes.RATIO),
        # A score equal to the threshold is not flagged.
        reference=f"<={threshold:.6f}" if has_threshold else "",
        abnormal="A" if answer.flag is Flag.YES else "",
        # A score without a calibrated threshold has no meaning.
        status="X" if silent else "P",
    )


def _lines(text: str) -> str:
    """Return a text (TX) as lines, which are repetitions of the field (section 2.A.80)."""
    return "~".join(textwrap.wrap(escape(text), LONGEST_LINE))


def _coded(concept: Concept, value: Concept) -> Observation:
    return Observation("CWE", concept, _cwe(value))


def _put_observation(order: "Group", number: int, observation: Observation, device: str) -> None:
    group = order.add_group("ORU_R01_OBSERVATION")
    obx = group.add_segment("OBX")
    values: Sequence[tuple[str, str]] = (
        ("obx_1", str(number)),
        ("obx_2", observation.value_type),
        ("obx_3", _ce(observation.concept)),
        ("obx_4", observation.sub_id),
        ("obx_5", observation.value),
        ("obx_6", observation.unit),
        ("obx_7", observation.reference),
        ("obx_8", observation.abnormal),
        ("obx_11", observation.status),
        ("obx_18", device),
    )
    for name, value in values:
        for repetition in value.split("~") if value else ():
            obx.add_field(name).value = repetition
    if observation.note:
        group.add_segment("NTE").nte_3 = escape(observation.note)


def _device(reporting: Reporting) -> str:
    """Return OBX-18, the equipment that made the observation."""
    by = reporting.equipment
    return f"{escape(by.serial)}^{escape(by.name)}^{by.device_uid}^ISO"


def _ce(concept: Concept) -> str:
    scheme = SCHEMES.get(concept.scheme_designator, concept.scheme_designator)
    return f"{escape(concept.value)}^{escape(concept.meaning)}^{escape(scheme)}"


_cwe = _ce


def _moment(day: str, time: str, offset: str) -> str:
    """Return a time stamp (TS) to the second; only the day without a time."""
    digits = time.split(".", maxsplit=1)[0] if day else ""
    # DICOM allows hours without minutes, HL7 does not.
    digits = digits + "00" if len(digits) == len("hh") else digits
    return f"{day}{digits}{offset if digits else ''}"
