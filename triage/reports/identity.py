"""Deterministic UIDs: what is said decides the UID, so a repetition is recognised as one.

Rule: everything that may change the content of a report stands in the hash of its UID. Two
different reports under one UID are an error that no receiver can mend: it keeps the first.
"""

import hashlib
from dataclasses import replace

from triage.domain.assessment import Assessment

DECIMALS = 6  #: of a written number: all that single precision holds of one near one


def uid(*parts: str) -> str:
    """Return the UUID-derived UID (PS3.5 B.2) of `parts`.

    Each part is hashed behind its length, so that ("ab", "c") and ("a", "bc") differ.
    """
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode()
        digest.update(len(content).to_bytes(8, "big") + content)
    return f"2.25.{int.from_bytes(digest.digest()[:16], 'big')}"


def instance_uid(  # noqa: PLR0913, PLR0917 - all that decides what a report says
    encoder_version: str,
    kind: str,
    sop_class_uid: str,
    device_uid: str,
    assessment: Assessment,
    replaced_uid: str = "",
) -> str:
    """Return the SOP Instance UID of the report of `kind` on `assessment`.

    `replaced_uid` is that of the document that this one replaces, if any.
    """
    model = assessment.model
    return uid(
        "instance",
        encoder_version,
        kind,
        sop_class_uid,
        device_uid,
        assessment.study_uid,
        str(assessment.revision),
        assessment.inputs_digest,
        model.name,
        model.version,
        model.digest,
        assessment.findings_digest,
        _said(assessment),
        replaced_uid,
    )


def message_uid(
    encoder_version: str, kind: str, device_uid: str, assessment: Assessment, said: bytes
) -> str:
    """Return the UID of a message: of what it says, and of the assessment that it speaks of.

    Messages tell of no similar case, so another one makes no other message.
    """
    version = f"{encoder_version} {hashlib.sha256(said).hexdigest()}"
    return instance_uid(
        version, kind, "", device_uid, replace(assessment, similar=(), why_none_similar="")
    )


def _said(assessment: Assessment) -> str:
    """Return what may differ though the inputs are the same: another codec, another processor."""
    answers = [
        (
            (each.finding.id, each.flag, each.presence, each.reason, each.views),
            (_written(each.score), _written(each.threshold)),
            [(frame.view, frame.image) for frame in each.key_frames],
            # What is asked by prompts alone keeps the UID that it had before there were examples.
            *([each.fitted] if each.fitted else []),
        )
        for each in assessment.answers
    ]
    views = (assessment.used, assessment.missing, assessment.unused)
    similar = [
        (_written(each.similarity), each.key, each.study_uid, each.images, _written(each.likeness))
        for each in assessment.similar
    ]
    none_similar = [assessment.why_none_similar] if assessment.why_none_similar else []
    found = assessment.familiarity
    # A study that was not looked at so has the UIDs that it always had.
    familiar = [] if found is None else [(_written(found.distance), _written(found.limit))]
    strangest = [] if found is None else [found.strangest_view]
    said = (
        assessment.model.execution_provider,
        views,
        answers,
        similar,
        *none_similar,
        *familiar,
        *strangest,
    )
    return repr(said)


def _written(number: float | None) -> float | None:
    return None if number is None else round(float(number), DECIMALS)


def series_uid(kind: str, study_uid: str) -> str:
    """Return the Series Instance UID that all revisions of a report share."""
    return uid("series", kind, study_uid)


def tracking_uid(study_uid: str, finding_id: str) -> str:
    """Return the Tracking Unique Identifier (112040, DCM) of a finding in a study."""
    return uid("tracking", study_uid, finding_id)
