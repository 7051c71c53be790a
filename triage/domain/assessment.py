"""The assessment of one revision of a study.

"Flagged" does not mean "present", "not flagged" does not mean "absent", and "not evaluated" means
neither. Present needs a calibrated rule-in score, Absent a rule-out score, each with its figures;
without them an evaluated finding is Undetermined. Every answer has its reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from triage.domain.calibration import CalibrationTarget
from triage.domain.finding import Finding
from triage.domain.performance import Performance
from triage.domain.reasons import ReasonCode


class Flag(StrEnum):
    """The answer to "should this study be read sooner because of this finding?"."""

    YES = "Yes"
    NO = "No"
    NOT_EVALUATED = "Not Evaluated"


class Presence(StrEnum):
    """The statement about the finding itself, in terms of DICOM CID 240 and CID 3703."""

    PRESENT = "Present"
    ABSENT = "Absent"
    UNDETERMINED = "Undetermined"
    NOT_EVALUATED = "Not evaluated"


class ScoreKind(StrEnum):
    """The measure of a score. Scores of different kinds have different scales."""

    SIMILARITY = "similarity"  #: of images and prompts
    DISTANCES = "distances"  #: to the means of the examples with and without the finding
    CLASSIFIER = "classifier"  #: output of a regression on labelled cases
    STANDARDISED = "standardised"  #: mean of SIMILARITY and DISTANCES, on the scale of past cases

    @property
    def scale(self) -> str:
        """Return what the score is, and its limits."""
        return SCALES[self]


SCALES = {
    ScoreKind.SIMILARITY: "mean cosine similarity of images and prompts, -1 to 1",
    ScoreKind.DISTANCES: "difference of the distances to examples without and with it, -2 to 2",
    ScoreKind.CLASSIFIER: "output of a classifier fitted from labelled cases, 0 to 1",
    ScoreKind.STANDARDISED: "prompts and examples in deviations of past cases, without limits",
}


class Priority(StrEnum):
    """The suggested reading priority; the worklist decides on its order itself."""

    EXPEDITE = "EXPEDITE"
    ROUTINE = "ROUTINE"


def suggest_priority(flag: Flag) -> Priority:
    """Return the priority of a study with this root flag: EXPEDITE if a finding is flagged."""
    return Priority.EXPEDITE if flag is Flag.YES else Priority.ROUTINE


@dataclass(frozen=True)
class SourceImage:
    """An image that the model used."""

    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str
    frame: int | None = None  #: 1-based frame number of a multi-frame image


@dataclass(frozen=True)
class UsedView:
    """A view slot of the bundle that the study filled."""

    view: str  #: the slot's name in the bundle's manifest, e.g. "cine_sa"
    series_uid: str
    series_description: str
    why: str  #: the evidence for the choice, as text
    images: tuple[SourceImage, ...]  #: in the order of the clip: by phase, or by slice


@dataclass(frozen=True)
class MissingView:
    """A view slot of the bundle that the study did not fill."""

    view: str
    reason: str


@dataclass(frozen=True)
class UnusedStack:
    """Images of the study that no view slot uses."""

    series_uid: str
    series_description: str
    images: int
    reason: str


@dataclass(frozen=True)
class ModelIdentity:
    """The model that made the assessment."""

    name: str
    version: str
    digest: str  #: SHA-256 of the bundle's manifest, in hexadecimal
    trained: bool
    intended_use: str
    execution_provider: str  #: as ONNX Runtime names it, e.g. "CPUExecutionProvider"


@dataclass(frozen=True)
class KeyFrame:
    """An image that contributed to a score."""

    view: str  #: the slot that it filled
    image: SourceImage
    #: mean of the loss of score without its view, and of the gain by that view alone
    relevance: float


@dataclass(frozen=True)
class SimilarCase:
    """A past case that is similar to this one.

    A case of another patient has a key that only this worker resolves; a case of the same patient
    has its images.
    """

    similarity: float  #: cosine of the two studies, -1 to 1
    key: str = ""  #: opaque, and valid for this report alone
    study_uid: str = ""  #: only for the same patient, or if the site allows UIDs of others
    images: tuple[SourceImage, ...] = ()  #: likewise
    likeness: float | None = None  #: share of random pairs of cases that are less similar, if known


@dataclass(frozen=True)
class Familiarity:
    """The distance of a study from those of the training."""

    distance: float  #: of its most distant view; about 1 is usual
    limit: float  #: beyond it the study is out-of-distribution
    strangest_view: str  #: the slot's name in the bundle's manifest

    @property
    def is_known(self) -> bool:
        """Whether the study is in-distribution."""
        return self.distance <= self.limit

    @property
    def figures(self) -> str:
        """Return distance and limit as text."""
        return f"distance {self.distance:.2f}, limit {self.limit:.2f}"


def format_share(likeness: float) -> str:
    """Return e.g. "99.2%"; at most 99.9%, because only a sample of pairs was drawn."""
    return f"{min(likeness, 0.999):.1%}"


def describe_examples(number: int) -> str:
    """Return e.g. "24 examples"."""
    return f"{number} example" if number == 1 else f"{number} examples"


class Disclosure(StrEnum):
    """How much reports may disclose about similar cases."""

    NONE = "none"  #: nothing
    OPAQUE = "opaque"  #: for other patients' cases, the similarity and an opaque key
    UIDS = "uids"  #: also Study Instance UIDs, for closed teaching or consented archives


def limit_disclosure(
    similar: Sequence[SimilarCase], disclosure: Disclosure
) -> tuple[SimilarCase, ...]:
    """Return similar cases reduced to what may be disclosed; the patient's own stay whole."""
    if disclosure is Disclosure.NONE:
        return ()
    if disclosure is Disclosure.UIDS:
        return tuple(replace(case, images=()) if case.key else case for case in similar)
    return tuple(replace(case, study_uid="", images=()) if case.key else case for case in similar)


#: An unflagged score is near its threshold within this share of the spread of scores. Scores of
#: different models have different scales, so the margin cannot be a number of its own.
#: With a quarter, 163 of 2,510 answers without a flag on 500 held-out drawn hearts are near misses;
#: 32 of them have the finding (20 %), and 26 of the others (1.1 %).
NEAR_SHARE = 0.25


@dataclass(frozen=True)
class Answer:
    """The answer for one finding."""

    finding: Finding
    score: float | None  #: on the scale of its kind; None if not computed
    threshold: float | None  #: None if the bundle has no calibration for this finding
    flag: Flag
    presence: Presence
    reason: str  #: the reason for this flag, as text for the radiologist
    views: tuple[str, ...]  #: the finding's views that the study filled
    key_frames: tuple[KeyFrame, ...] = ()  #: the images that contributed most, most relevant first
    fitted: str = ""  #: digest of the fit, for a finding with examples
    kind: ScoreKind = ScoreKind.SIMILARITY
    examples: int = 0  #: number of examples of the fit
    why_not: ReasonCode | None = None  #: why it is not evaluated
    why_no_key_frames: ReasonCode | None = None  #: why a flag has none; None: it has, or none asked
    spread: float | None = None  #: standard deviation of the scores of labelled studies, if known
    performance: Performance | None = None  #: what the threshold achieves; None: not stated
    target: CalibrationTarget | None = None  #: of the site's threshold; None: the site set none

    @property
    def is_near_miss(self) -> bool:
        """Whether the score is so little below the threshold that chance may have decided.

        An answer that is ruled out is none: a second threshold has decided on it.
        """
        if self.flag is not Flag.NO or self.presence is Presence.ABSENT:
            return False
        if self.score is None or self.threshold is None or self.spread is None:
            return False
        return self.threshold - self.score <= NEAR_SHARE * self.spread


UNLIKE = "This study is unlike the studies the model was trained on"
NOTES = {
    ReasonCode.UNFAMILIAR: f"{UNLIKE}: no finding is evaluated.",
    ReasonCode.NOT_SYNTHETIC: "The model is for synthetic images only: no finding is evaluated.",
}


@dataclass(frozen=True)
class Assessment:
    """All results for one revision of a study."""

    study_uid: str
    revision: int
    model: ModelIdentity
    findings_digest: str
    inputs_digest: str  #: SHA-256 over the sorted SOP Instance UIDs of the revision
    used: tuple[UsedView, ...]
    missing: tuple[MissingView, ...]
    unused: tuple[UnusedStack, ...]
    answers: tuple[Answer, ...]
    similar: tuple[SimilarCase, ...] = ()  #: nearest first
    why_none_similar: str = ""  #: why no case of another patient is included
    familiarity: Familiarity | None = None  #: None if the bundle cannot judge it
    silence: ReasonCode | None = None  #: why no finding is evaluated, if for one reason
    mark: str = ""  #: the site's reason for flags on an out-of-distribution study
    #: the answers to silent findings: in the ledger, and in no report
    trial: tuple[Answer, ...] = ()

    @property
    def flag(self) -> Flag:
        """The root flag: Yes if any finding is flagged, Not Evaluated if none was evaluated."""
        flags = {answer.flag for answer in self.answers}
        return next((f for f in (Flag.YES, Flag.NO) if f in flags), Flag.NOT_EVALUATED)

    @property
    def finding_versions(self) -> tuple[str, ...]:
        """The versions of the findings, as in "lv_dilation 4"; none if they are from a file."""
        findings = (answer.finding for answer in self.answers)
        return tuple(f"{f.id} {f.version}" for f in findings if f.version is not None)

    @property
    def is_unfamiliar(self) -> bool:
        """Whether the study is out-of-distribution."""
        return self.familiarity is not None and not self.familiarity.is_known

    @property
    def note(self) -> str:
        """Return the sentence above all results: why there is none, or what they are worth."""
        if self.silence is not None:
            return NOTES[self.silence]
        if not self.is_unfamiliar:
            return ""
        because = f" They are shown because: {self.mark}" if self.mark else ""
        return f"{UNLIKE}: its flags mean little.{because}"

    @property
    def priority(self) -> Priority:
        """EXPEDITE if any finding is flagged."""
        return suggest_priority(self.flag)
