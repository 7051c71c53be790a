"""The assessment as a FHIR R4 transaction, for systems that use FHIR instead of HL7 v2.

Every id is derived from study, finding and equipment: a server that receives the bundle twice
stores it once, and a later revision updates the resources of an earlier one. A finding that was
not evaluated has a data-absent reason instead of a value.

The bundle is a transaction, because a server stores it as a whole or not at all; a collection would
not state what to do with it. The study is created only if the server has none with its UID. The
patient is referenced by identifier only, because the site's patient record is not ours to write.
ImagingSelection exists only from R5 on; in R4 key images are Media that reference the instances.

The library supports R4B instead of R4. Its models of the resources used here are those of R4: R4B
changed evidence, medication definitions and subscriptions.
"""

import json
import math
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from fhir.resources.R4B.bundle import Bundle
from pydicom import Dataset
from pydicom.sr.coding import Code as Concept

from triage.domain.assessment import Answer, Flag, KeyFrame, Presence, Priority
from triage.domain.delivery import Product
from triage.reports import codes, draft, header, identity, views
from triage.reports.content import one_line
from triage.reports.document import TITLE
from triage.reports.reporting import Reporting

KIND = "fhir"
ENCODER_VERSION = "2"
MEDIA_TYPE = "application/fhir+json"
UIDS = "urn:dicom:uid"  #: identifier system of DICOM UIDs
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
SYSTEMS = {
    "SCT": "http://snomed.info/sct",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "LN": "http://loinc.org",
    "UCUM": "http://unitsofmeasure.org",
    codes.SCHEME: f"urn:oid:{identity.uid('coding scheme', codes.SCHEME)}",
}
READ_SOONER = "Read this study sooner"
MR = {"system": SYSTEMS["DCM"], "code": "MR"}
Resource = dict[str, Any]


def build(reporting: Reporting) -> Product:
    """Return the bundle of an assessment as JSON.

    Raises:
        StudyDeclined: The evidence shows more than one patient.
        ValueError: The evidence is not that of the assessment, or the bundle is not valid FHIR.
    """
    with header.ignore_value_warnings():
        images = header.checked_evidence(reporting.evidence, reporting.assessment)
        patient = header.patient_and_study_header(images)
        message = FhirMessage(reporting, patient)
    by, about = reporting.equipment.device_uid, reporting.assessment
    uid = identity.message_uid(ENCODER_VERSION, KIND, by, about, _json(message.entries()))
    made_at = reporting.made_at_of(uid)
    bundle = {
        "resourceType": "Bundle",
        "identifier": {"system": UIDS, "value": f"urn:oid:{uid}"},
        "type": "transaction",
        "timestamp": _instant(made_at),
        "entry": replace(message, made_at=made_at).entries(),
    }
    Bundle.model_validate(bundle)
    return Product(KIND, "", uid, _json(bundle), MEDIA_TYPE)


@dataclass(frozen=True)
class FhirMessage:
    """Builds the resources of one bundle."""

    reporting: Reporting
    patient: Dataset  #: attributes of patient and study
    made_at: datetime | None = None  #: None: not known yet, because the content decides the UID

    def entries(self) -> list[Resource]:
        """Return the entries of the bundle."""
        return [_entry(resource) for resource in self.resources()]

    def resources(self) -> Iterator[Resource]:
        """Yield the resources, each after those that it references."""
        yield self._device()
        yield self._study()
        for answer in self.reporting.assessment.answers:
            yield from self._observations(answer)
        yield from (self._media(key, names) for key, names in self._key_frames())
        yield self._report()
        yield from self._task()

    def _id(self, kind: str, *parts: str) -> str:
        by, about = self.reporting.equipment.device_uid, self.reporting.assessment
        return str(uuid.uuid5(uuid.NAMESPACE_OID, identity.uid(kind, by, about.study_uid, *parts)))

    def _reference(self, kind: str, *parts: str) -> Resource:
        return {"reference": f"urn:uuid:{self._id(kind, *parts)}"}

    def _subject(self) -> Resource:
        """Return a reference to the patient by identifier; the name is for display only."""
        name = str(self.patient.PatientName.alphabetic).replace("^", " ")
        shown = {"type": "Patient", "display": one_line(name) or "patient without name"}
        if not one_line(self.patient.PatientID):
            return shown
        issuer = one_line(self.patient.get("IssuerOfPatientID", ""))
        assigner = {"assigner": {"display": issuer}} if issuer else {}
        return {**shown, "identifier": {"value": one_line(self.patient.PatientID), **assigner}}

    def _device_id(self) -> str:
        """Return the id of the device: equal for all studies, different for another model."""
        by, model = self.reporting.equipment, self.reporting.assessment.model
        return str(
            uuid.uuid5(uuid.NAMESPACE_OID, identity.uid("device", by.device_uid, model.digest))
        )

    def _device(self) -> Resource:
        by, model = self.reporting.equipment, self.reporting.assessment.model
        return {
            "resourceType": "Device",
            "id": self._device_id(),
            "identifier": [_uid(by.device_uid)],
            "manufacturer": by.manufacturer,
            "serialNumber": by.serial,
            "deviceName": [
                {"name": by.name, "type": "user-friendly-name"},
                {"name": one_line(model.name), "type": "model-name"},
            ],
            "version": [
                {"type": {"text": "software"}, "value": by.software_version},
                {"type": {"text": "model"}, "value": one_line(model.version)},
                {"type": {"text": "model SHA-256"}, "value": model.digest},
            ],
            "note": [{"text": one_line(f"Intended use: {model.intended_use}")}],
        }

    def _study(self) -> Resource:
        return {
            "resourceType": "ImagingStudy",
            "id": self._id("ImagingStudy"),
            "identifier": [_uid(self.reporting.assessment.study_uid), *self._accession()],
            "status": "available",
            "modality": [MR],
            "subject": self._subject(),
            **_when("started", *self._started()),
            "series": [
                {
                    "uid": view.series_uid,
                    "modality": MR,
                    "numberOfInstances": len({i.sop_instance_uid for i in view.images}),
                    **_text("description", view.series_description),
                }
                for view in self.reporting.assessment.used
            ],
        }

    def _accession(self) -> list[Resource]:
        number = one_line(self.patient.AccessionNumber)
        kind = {"coding": [{"system": f"{TERMINOLOGY}/v2-0203", "code": "ACSN"}]}
        return [{"type": kind, "value": number}] if number else []

    def _started(self) -> tuple[str, str, str]:
        offset = self.patient.get("TimezoneOffsetFromUTC", "")
        return self.patient.StudyDate, self.patient.StudyTime, offset

    def _observation(self, kind: str, answer: Answer, code: Resource) -> Resource:
        return {
            "resourceType": "Observation",
            "id": self._id(kind, answer.finding.id),
            "status": "preliminary",
            "category": [_coding(f"{TERMINOLOGY}/observation-category", "imaging")],
            "code": code,
            "subject": self._subject(),
            **_when("effectiveDateTime", *self._started()),
            "device": {"reference": f"urn:uuid:{self._device_id()}"},
            "derivedFrom": [self._reference("ImagingStudy")],
        }

    def _observations(self, answer: Answer) -> Iterator[Resource]:
        """Yield the observations of one finding: evaluation, score, and their group (TID 1501)."""
        members = ["evaluation"]
        yield self._evaluation(answer)
        if answer.score is not None and math.isfinite(answer.score):
            members.append("score")
            yield self._score(answer, answer.score)
        finding = answer.finding.id
        tracking = identity.tracking_uid(self.reporting.assessment.study_uid, finding)
        yield {
            **self._observation("group", answer, _concept(codes.GROUP)),
            "identifier": [_uid(tracking)],
            "hasMember": [self._reference(member, finding) for member in members],
        }

    def _evaluation(self, answer: Answer) -> Resource:
        finding = answer.finding
        question = {**_concept(codes.finding_concept(finding)), "text": one_line(finding.name)}
        site = (
            {"bodySite": _concept(codes.configured_concept(finding.site))} if finding.site else {}
        )
        return {
            **self._observation("evaluation", answer, question),
            **_value(answer),
            "note": [{"text": _reason(answer)}],
            **site,
            "component": [
                {
                    "code": _concept(codes.FLAG),
                    "valueCodeableConcept": _concept(codes.FLAGS[answer.flag]),
                }
            ],
        }

    def _score(self, answer: Answer, score: float) -> Resource:
        threshold = answer.threshold
        is_silent = answer.flag is Flag.NOT_EVALUATED
        has_threshold = threshold is not None and math.isfinite(threshold) and not is_silent
        limit = {"high": _ratio(threshold or 0.0), "text": "not flagged up to this threshold"}
        return {
            **self._observation("score", answer, _concept(codes.score_concept(answer))),
            "valueQuantity": _ratio(score),
            **({"referenceRange": [limit]} if has_threshold else {}),
        }

    def _key_frames(self) -> Iterator[tuple[KeyFrame, list[str]]]:
        """Yield each key frame of the flagged findings once, with the names of the findings."""
        names: dict[KeyFrame, list[str]] = {}
        first: dict[object, KeyFrame] = {}
        for answer in self.reporting.assessment.answers:
            for key in answer.key_frames if answer.flag is Flag.YES else ():
                names.setdefault(first.setdefault(key.image, key), []).append(answer.finding.name)
        yield from names.items()

    def _media(self, key: KeyFrame, names: Sequence[str]) -> Resource:
        image = key.image
        frame = f", frame {image.frame}" if image.frame is not None else ""
        return {
            "resourceType": "Media",
            "id": self._media_id(key),
            "status": "completed",
            "type": _coding(f"{TERMINOLOGY}/media-type", "image"),
            "modality": {"coding": [MR]},
            "subject": self._subject(),
            "device": {"reference": f"urn:uuid:{self._device_id()}"},
            "content": {
                "contentType": "application/dicom",
                "url": f"urn:oid:{image.sop_instance_uid}",
                "title": one_line(f"{views.view_title(key.view)}{frame}: {'; '.join(names)}"),
            },
        }

    def _media_id(self, key: KeyFrame) -> str:
        return self._id("Media", key.image.sop_instance_uid, str(key.image.frame))

    def _report(self) -> Resource:
        about = self.reporting.assessment
        media = [
            {"link": {"reference": f"urn:uuid:{self._media_id(key)}"}}
            for key, _ in self._key_frames()
        ]
        present = [a.finding for a in about.answers if a.presence is Presence.PRESENT]
        return {
            "resourceType": "DiagnosticReport",
            "id": self._id("DiagnosticReport"),
            "identifier": self._accession(),
            "status": "preliminary",
            "category": [_coding(f"{TERMINOLOGY}/v2-0074", "RAD")],
            "code": {**_concept(codes.REPORT), "text": TITLE},
            "subject": self._subject(),
            **_when("effectiveDateTime", *self._started()),
            **({"issued": _instant(self.made_at)} if self.made_at else {}),
            "result": [self._reference("group", answer.finding.id) for answer in about.answers],
            "imagingStudy": [self._reference("ImagingStudy")],
            "media": media,
            "conclusion": draft.marked_impression(about),
            "conclusionCode": [_concept(codes.finding_concept(finding)) for finding in present],
        }

    def _task(self) -> Iterator[Resource]:
        """Yield the proposal to read sooner; a later revision without flags cancels it."""
        about = self.reporting.assessment
        expedite = about.priority is Priority.EXPEDITE
        if not expedite and not any(earlier.kind == KIND for earlier in self.reporting.replaced):
            return
        names = "; ".join(a.finding.name for a in about.answers if a.flag is Flag.YES)
        yield {
            "resourceType": "Task",
            "id": self._id("Task"),
            "status": "requested" if expedite else "cancelled",
            "intent": "proposal",
            "priority": "asap" if expedite else "routine",
            "code": {"text": READ_SOONER},
            "description": f"{READ_SOONER}: suggested by software, research use only",
            "focus": self._reference("DiagnosticReport"),
            "for": self._subject(),
            "requester": {"reference": f"urn:uuid:{self._device_id()}"},
            "reasonCode": {"text": one_line(names) or "no finding is flagged any longer"},
        }


def _entry(resource: Resource) -> Resource:
    filled = {key: value for key, value in resource.items() if value != []}
    kind, name = resource["resourceType"], resource["id"]
    request = {"method": "PUT", "url": f"{kind}/{name}"}
    if kind == "ImagingStudy":
        known = filled["identifier"][0]
        once = f"identifier={known['system']}|{known['value']}"
        request = {"method": "POST", "url": kind, "ifNoneExist": once}
    return {"fullUrl": f"urn:uuid:{name}", "resource": filled, "request": request}


def _reason(answer: Answer) -> str:
    return views.spell_out_views(one_line(answer.reason)) or "no reason is stated"


def _value(answer: Answer) -> Resource:
    if answer.flag is Flag.NOT_EVALUATED:
        return {"dataAbsentReason": _coding(f"{TERMINOLOGY}/data-absent-reason", "not-performed")}
    value = {"valueCodeableConcept": _concept(codes.PRESENCES[answer.presence])}
    if answer.flag is Flag.YES:
        abnormal = _coding(f"{TERMINOLOGY}/v3-ObservationInterpretation", "A")
        return {**value, "interpretation": [{**abnormal, "text": "flagged for review"}]}
    return value


def _concept(concept: Concept) -> Resource:
    """Return a code with the FHIR system of its scheme; without a known system, text only."""
    system = SYSTEMS.get(concept.scheme_designator)
    if system is None:
        return {"text": f"{concept.meaning} ({concept.scheme_designator} {concept.value})"}
    return {"coding": [{"system": system, "code": concept.value, "display": concept.meaning}]}


def _coding(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def _ratio(value: float) -> Resource:
    unit = codes.RATIO
    return {
        "value": round(value, 6),
        "unit": unit.meaning,
        "system": SYSTEMS[unit.scheme_designator],
        "code": unit.value,
    }


def _uid(uid: str) -> Resource:
    return {"system": UIDS, "value": f"urn:oid:{uid}"}


def _text(name: str, value: str) -> Resource:
    return {name: one_line(value)} if one_line(value) else {}


def _when(name: str, day: str, time: str, offset: str) -> Resource:
    """Return a date, with the time only if its zone is known, as FHIR requires."""
    if not day:
        return {}
    date = f"{day[:4]}-{day[4:6]}-{day[6:]}"
    if not (time and offset):
        return {name: date}
    digits = f"{time[:6]:0<6}"
    clock = f"{digits[:2]}:{digits[2:4]}:{digits[4:]}"
    return {name: f"{date}T{clock}{offset[:3]}:{offset[3:]}"}


def _instant(at: datetime) -> str:
    return at.isoformat()


def _json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
