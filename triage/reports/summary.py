"""The flags as a JSON summary, for programs that a webhook notifies of an assessment.

The summary identifies the study by its UID and by its accession number, under which a RIS knows it:
it has no patient data, no free text from the images and no other study. "Not flagged" is not
"absent"; findings that were not evaluated are also in a list of their own, so that they are not
read as negative. Fields are never removed and never change their meaning; `version` increases when
fields are added.
"""

import json
import math
from typing import Any

from triage.domain.assessment import Answer, Flag
from triage.domain.delivery import JSON, Product
from triage.reports import identity
from triage.reports.header import patient_and_study_header
from triage.reports.reporting import Reporting

KIND = "summary"
ENCODER_VERSION = "1"
NOTICE = "Research use only. Unverified AI output; not for diagnosis or treatment."


def build(reporting: Reporting) -> Product:
    """Return the summary of an assessment, in UTF-8."""
    assessment, by = reporting.assessment, reporting.equipment
    content = json.dumps(_summary(reporting), ensure_ascii=False, allow_nan=False).encode()
    uid = identity.message_uid(ENCODER_VERSION, KIND, by.device_uid, assessment, content)
    return Product(KIND, "", uid, content, JSON)


def _summary(reporting: Reporting) -> dict[str, Any]:
    assessment, by = reporting.assessment, reporting.equipment
    model = assessment.model
    silent = [answer for answer in assessment.answers if answer.flag is Flag.NOT_EVALUATED]
    return {
        "type": "cmr-triage.assessment",
        "version": 2,
        "research_use_only": True,
        "notice": NOTICE,
        "study_instance_uid": assessment.study_uid,
        "accession_number": patient_and_study_header(reporting.evidence).AccessionNumber,
        "revision": assessment.revision,
        "flag": assessment.flag,
        "priority": assessment.priority,
        # None: the bundle cannot judge it.
        "familiar": assessment.familiarity and assessment.familiarity.is_known,
        "note": assessment.note,
        "findings": [_finding(answer) for answer in assessment.answers],
        "not_evaluated": [
            {
                "id": answer.finding.id,
                "name": answer.finding.name,
                "reason": answer.reason,
                "code": answer.why_not,
            }
            for answer in silent
        ],
        "views": {
            "used": [view.view for view in assessment.used],
            "missing": [view.view for view in assessment.missing],
        },
        "model": {
            "name": model.name,
            "version": model.version,
            "digest": model.digest,
            "trained": model.trained,
            "intended_use": model.intended_use,
        },
        "equipment": {
            "manufacturer": by.manufacturer,
            "name": by.name,
            "serial": by.serial,
            "software_version": by.software_version,
        },
    }


def _finding(answer: Answer) -> dict[str, Any]:
    return {
        "id": answer.finding.id,
        "name": answer.finding.name,
        "flag": answer.flag,
        "presence": answer.presence,
        "score": _number(answer.score),
        "threshold": _number(answer.threshold),
        "reason": answer.reason,
        "score_kind": answer.kind,
        "examples": answer.examples,
    }


def _number(value: float | None) -> float | None:
    """Return a number rounded as for the UID; None if it is not finite, as JSON has no NaN."""
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), identity.DECIMALS)
