"""Use case of `triage score`: score the studies of a folder, without a site.

Views, preprocessing, scores, flags and familiarity are those of an assessment. A score stays in its
row if its finding is Not Evaluated. A study without scores has one row with the reason.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from triage.dicom.header import read_text_element
from triage.domain.assessment import Answer, Flag
from triage.domain.errors import StudyDeclined
from triage.domain.reasons import Reason, ReasonCode, because
from triage.imaging.rules import SeriesRules
from triage.pipeline.answers import answer_findings
from triage.pipeline.folder_studies import DamagedFile, FolderStudies
from triage.pipeline.model_input import LoadedModel, Read, build_model_input, explain_damaged

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class FolderStudy:
    """The files of a study below a folder."""

    study_uid: str  #: empty: damaged files that state no study
    paths: tuple[str, ...]
    damaged: tuple[DamagedFile, ...] = ()

    @property
    def files(self) -> int:
        """The number of files, damaged ones included."""
        return len(self.paths) + len(self.damaged)


@dataclass(frozen=True)
class ScoreRow:
    """The score of a finding in a study, or the reason why a study has no score."""

    study_uid: str
    patient_id: str
    accession: str
    finding: str  #: id of the finding; empty: the study has no score
    score: float | None
    threshold: float | None
    flag: Flag
    why: str  #: the sentence of the reason
    code: ReasonCode | None  #: why it is not evaluated
    distance: float | None  #: from the studies that the model knows; None if it cannot be judged
    familiar: bool | None
    views: tuple[str, ...]  #: the view slots that the study filled
    files: int
    remarks: str  #: sentences on what of the study could not be used

    @property
    def is_evaluated(self) -> bool:
        """Whether the worker would report a flag or its absence."""
        return self.flag is not Flag.NOT_EVALUATED


@dataclass(frozen=True)
class StudyScorer:
    """Scores studies with one model."""

    model: LoadedModel
    rules: SeriesRules
    read: Read

    def score(self, study: FolderStudy) -> tuple[ScoreRow, ...]:
        """Return a row for each finding, or one row with the reason why there is no score."""
        try:
            return self._score(study)
        except StudyDeclined as error:
            return (explain_study(study, error.reason, self.read),)
        except OSError as error:
            failure = describe_failure(error.strerror or type(error).__name__)
            return (explain_study(study, failure, self.read),)
        except Exception as error:  # a defect: one study must not end the others
            log.exception("a study was not scored", study_uid=study.study_uid)
            return (explain_study(study, describe_failure(type(error).__name__), self.read),)

    def _score(self, study: FolderStudy) -> tuple[ScoreRow, ...]:
        seen = build_model_input(study.study_uid, study.paths, self.read, self.model, self.rules)
        judged = answer_findings(seen, self.model)
        known = judged.familiarity
        common = replace(
            _start_row(study, seen.remarks, self.read),
            views=tuple(view.view for view in seen.used_views),
            distance=None if known is None else known.distance,
            familiar=None if known is None else known.is_known,
        )
        return tuple(_add_answer(common, answer) for answer in judged.answers)


def list_folder_studies(found: FolderStudies) -> list[FolderStudy]:
    """Return the studies of a folder, by UID; damaged files without a study come first."""
    damaged: dict[str, list[DamagedFile]] = defaultdict(list)
    for file in found.damaged:
        damaged[file.study_uid].append(file)
    return [
        FolderStudy(uid, tuple(found.studies.get(uid, ())), tuple(damaged.get(uid, ())))
        for uid in sorted({*found.studies, *damaged})
    ]


def describe_failure(error: str) -> Reason:
    """Return the reason for a study that another run may score."""
    return because(ReasonCode.SCORING_FAILED, error=error)


def explain_study(study: FolderStudy, reason: Reason, read: Read) -> ScoreRow:
    """Return the row of a study without scores."""
    row = _start_row(study, reason.remarks, read)
    return replace(row, why=str(replace(reason, remarks=())), code=reason.code)


def _start_row(study: FolderStudy, remarks: Sequence[Reason], read: Read) -> ScoreRow:
    patient_id, accession = _identify(study, read)
    damaged = explain_damaged(Counter(file.reason for file in study.damaged))
    return ScoreRow(
        study_uid=study.study_uid,
        patient_id=patient_id,
        accession=accession,
        finding="",
        score=None,
        threshold=None,
        flag=Flag.NOT_EVALUATED,
        why="",
        code=None,
        distance=None,
        familiar=None,
        views=(),
        files=study.files,
        remarks="; ".join(map(str, [*damaged, *remarks])),
    )


def _identify(study: FolderStudy, read: Read) -> tuple[str, str]:
    """Return Patient ID and accession number; empty where the first file states none."""
    if not study.study_uid:
        return "", ""  # the files may be of several studies
    path = (*study.paths, *(file.path for file in study.damaged))[0]
    try:
        part10 = read(path)
    except OSError:
        return "", ""
    return read_text_element(part10, "PatientID"), read_text_element(part10, "AccessionNumber")


def _add_answer(row: ScoreRow, answer: Answer) -> ScoreRow:
    return replace(
        row,
        finding=answer.finding.id,
        score=answer.score,
        threshold=answer.threshold,
        flag=answer.flag,
        why=answer.reason,
        code=answer.why_not,
    )
