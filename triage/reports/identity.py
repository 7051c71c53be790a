"""Deterministic UIDs: the UID of a report is a hash of everything that its content depends on.

So the same report always has the same UID. Two different reports under one UID would be an error
that no receiver can correct, because it keeps the first copy. A change of the texts or the
structure of a report therefore needs a new `ENCODER_VERSION` in its module; messages and rendered
pages have the hash of their content in the UID instead.
"""

import hashlib
from dataclasses import replace

from triage.domain.assessment import Assessment

DECIMALS = 6  #: of a written number, the precision of a float32 near 1


def uid(*parts: str) -> str:
    """Return the UUID-derived UID (PS3.5 B.2) of `parts`.

    Each part is length-prefixed, so that ("ab", "c") and ("a", "bc") differ.
    """
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode()
        digest.update(len(content).to_bytes(8, "big") + content)
    return f"2.25.{int.from_bytes(digest.digest()[:16], 'big')}"


def instance_uid(  # noqa: PLR0913, PLR0917 - everything that the content of a report depends on
    encoder_version: str,
    kind: str,
    sop_class_uid: str,
    device_uid: str,
    assessment: Assessment,
    replaced_uid: str = "",
) -> str:
    """Return the SOP Instance UID of the report of `kind` on `assessment`.

    `replaced_uid` is the UID of the document that this one replaces, if any.
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
        _results(assessment),
        replaced_uid,
    )


def message_uid(
    encoder_version: str, kind: str, device_uid: str, assessment: Assessment, content: bytes
) -> str:
    """Return the UID of a message, from its content and its assessment without similar cases.

    Messages do not list similar cases, so a change of these is no new message.
    """
    version = f"{encoder_version} {hashlib.sha256(content).hexdigest()}"
    return instance_uid(
        version, kind, "", device_uid, replace(assessment, similar=(), why_none_similar="")
    )


def _results(assessment: Assessment) -> str:
    """Return the results, which may differ for equal inputs: other codec, other processor."""
    answers = [
        (
            (answer.finding.id, answer.flag, answer.presence, answer.reason, answer.views),
            (_rounded(answer.score), _rounded(answer.threshold)),
            [(frame.view, frame.image) for frame in answer.key_frames],
            # Left out without examples, so that such reports keep the UIDs of earlier releases.
            *([answer.fitted] if answer.fitted else []),
        )
        for answer in assessment.answers
    ]
    views = (assessment.used, assessment.missing, assessment.unused)
    similar = [
        (_rounded(case.similarity), case.key, case.study_uid, case.images, _rounded(case.likeness))
        for case in assessment.similar
    ]
    none_similar = [assessment.why_none_similar] if assessment.why_none_similar else []
    found = assessment.familiarity
    # Left out if unknown, so that such reports keep the UIDs of earlier releases.
    familiar = [] if found is None else [(_rounded(found.distance), _rounded(found.limit))]
    strangest = [] if found is None else [found.strangest_view]
    note = [assessment.note] if assessment.note else []
    versions = [assessment.finding_versions] if assessment.finding_versions else []
    results = (
        assessment.model.execution_provider,
        views,
        answers,
        similar,
        *none_similar,
        *familiar,
        *strangest,
        *note,
        *versions,
    )
    return repr(results)


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(float(number), DECIMALS)


def series_uid(kind: str, study_uid: str) -> str:
    """Return the Series Instance UID that all revisions of a report share."""
    return uid("series", kind, study_uid)


def tracking_uid(study_uid: str, finding_id: str) -> str:
    """Return the Tracking Unique Identifier (112040, DCM) of a finding in a study."""
    return uid("tracking", study_uid, finding_id)
