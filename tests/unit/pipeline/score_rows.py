"""Rows of scores, for tests of tables and measurements."""

from triage.domain.assessment import Flag
from triage.domain.reasons import ReasonCode
from triage.pipeline.score_studies import ScoreRow

FINDINGS = ("lge", "lv_dilation")
THRESHOLD = 0.5


def scored(study_uid: str, score: float) -> ScoreRow:
    """Return a row of the finding lge."""
    return ScoreRow(
        study_uid=study_uid,
        patient_id=f"P-{study_uid}",
        accession=f"A-{study_uid}",
        finding="lge",
        score=score,
        threshold=THRESHOLD,
        flag=Flag.YES if score > THRESHOLD else Flag.NO,
        why="as the score is",
        code=None,
        distance=1.0,
        familiar=True,
        views=("lge_sa",),
        files=1,
        remarks="",
    )


def unscored(study_uid: str) -> ScoreRow:
    """Return the row of a study that has no score."""
    return ScoreRow(
        study_uid=study_uid,
        patient_id=f"P-{study_uid}",
        accession=f"A-{study_uid}",
        finding="",
        score=None,
        threshold=None,
        flag=Flag.NOT_EVALUATED,
        why="no MR images, only CT",
        code=ReasonCode.NO_MR_IMAGES,
        distance=None,
        familiar=None,
        views=(),
        files=1,
        remarks="",
    )
