"""The flags as a JSON summary, for programs that are told over HTTP that a study was assessed.

Rule: it names the study by its UID alone: nothing of the patient, no free text of the images, no
other study. "Not flagged" is not "absent", and what was not evaluated stands in a list of its own,
so that nobody reads it as a negative. A field is never taken out and never changes its meaning;
`version` counts what is added.
"""

import json
import math
from typing import Any

from triage.domain.assessment import Answer, Assessment, Flag
from triage.domain.delivery import JSON, Product
from triage.reports import identity
from triage.reports.equipment import Equipment
from triage.reports.reporting import Reporting

KIND = "summary"
ENCODER_VERSION = "1"
NOTICE = "Research use only. Unverified AI output; not for diagnosis or treatment."


def build(reporting: Reporting) -> Product:
    """Return the summary of an assessment, in UTF-8."""
    assessment, by = reporting.assessment, reporting.equipment
    said = json.dumps(_summary(assessment, by), ensure_ascii=False, allow_nan=False).encode()
    uid = identity.message_uid(ENCODER_VERSION, KIND, by.device_uid, assessment, said)
    return Product(KIND, "", uid, said, JSON)


def _summary(assessment: Assessment, by: Equipment) -> dict[str, Any]:
    model = assessment.model
    silent = [each for each in assessment.answers if each.flag is Flag.NOT_EVALUATED]
    return {
        "type": "cmr-triage.assessment",
        "version": 1,
        "research_use_only": True,
        "notice": NOTICE,
        "study_instance_uid": assessment.study_uid,
        "revision": assessment.revision,
        "flag": assessment.flag,
        "priority": assessment.priority,
        # None: nobody looked.
        "familiar": assessment.familiarity and assessment.familiarity.is_known,
        "findings": [_finding(each) for each in assessment.answers],
        "not_evaluated": [
            {"id": each.finding.id, "name": each.finding.name, "reason": each.reason}
            for each in silent
        ],
        "views": {
            "used": [each.view for each in assessment.used],
            "missing": [each.view for each in assessment.missing],
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
    }


def _number(value: float | None) -> float | None:
    """Return a number as it counts for identity; JSON has none that is not finite."""
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), identity.DECIMALS)
