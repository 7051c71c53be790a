"""The answers for a study: every finding scored, unless nothing may be flagged in the study.

A study that is unlike those of the training, or that is not what the bundle is intended for, has no
flag: its scores are kept, and every answer is Not Evaluated with that reason.
"""

from dataclasses import dataclass

from triage.domain.assessment import Answer, Familiarity
from triage.domain.finding import FindingSet
from triage.domain.reasons import Reason, ReasonCode, because
from triage.model.out_of_distribution import measure_familiarity
from triage.model.questions import Questions
from triage.model.scoring import answer_finding, silence
from triage.pipeline.model_input import LoadedModel, ModelInput

SYNTHETIC = "YES"  #: value of Synthetic Data (0008,001C), PS3.3 C.12.1


@dataclass(frozen=True)
class StudyAnswers:
    """The answers to all findings, and what holds for the study as a whole."""

    answers: tuple[Answer, ...]
    familiarity: Familiarity | None  #: None if the bundle cannot judge it
    silence: ReasonCode | None  #: why no finding is evaluated, if for one reason
    trial: tuple[Answer, ...] = ()  #: the answers to silent findings, for no report


def answer_findings(seen: ModelInput, model: LoadedModel) -> StudyAnswers:
    """Return the answer to every finding, and to every silent one."""
    familiarity = measure_familiarity(seen.clip, seen.frames, model.bundle)
    why_not = _explain_silence(seen, familiarity, model)

    def answer(findings: FindingSet, questions: Questions) -> tuple[Answer, ...]:
        answers = (
            answer_finding(
                finding, questions[finding.id], model.bundle, seen.frames, seen.embedding
            )
            for finding in findings.findings
        )
        return tuple(each if why_not is None else silence(each, why_not) for each in answers)

    return StudyAnswers(
        answer(model.findings, model.questions),
        familiarity,
        None if why_not is None else why_not.code,
        () if model.trial is None else answer(model.trial.findings, model.trial.questions),
    )


def _explain_silence(
    seen: ModelInput, familiarity: Familiarity | None, model: LoadedModel
) -> Reason | None:
    """Return why nothing may be flagged in this study; None if flags are possible."""
    if model.bundle.manifest.synthetic_only and not is_synthetic(seen):
        return because(ReasonCode.NOT_SYNTHETIC)
    is_unfamiliar = familiarity is not None and not familiarity.is_known
    if is_unfamiliar and not model.mark_unfamiliar:
        return because(ReasonCode.UNFAMILIAR)
    return None


def is_synthetic(seen: ModelInput) -> bool:
    """Whether every image of the study is marked as synthetic; one other image is enough."""
    return all(image.header.get("SyntheticData") == SYNTHETIC for image in seen.images)
