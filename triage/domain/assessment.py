"""What the worker says about one revision of a study.

Rule: "not flagged" is not "absent", and "not evaluated" is neither. Absent needs a rule-out
threshold; without one an unflagged finding is Undetermined. Every answer carries its reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from triage.domain.finding import Finding


class Flag(StrEnum):
    """The answer to "should somebody look sooner because of this finding?"."""

    YES = "Yes"
    NO = "No"
    NOT_EVALUATED = "Not Evaluated"


class Presence(StrEnum):
    """What is claimed about the finding itself; the words of DICOM CID 240 and CID 3703."""

    PRESENT = "Present"
    ABSENT = "Absent"
    UNDETERMINED = "Undetermined"
    NOT_EVALUATED = "Not evaluated"


class Priority(StrEnum):
    """What the flags suggest for the worklist; ranking it is the worklist's own business."""

    EXPEDITE = "EXPEDITE"
    ROUTINE = "ROUTINE"


@dataclass(frozen=True)
class SourceImage:
    """An image that the model looked at."""

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
    why: str  #: the evidence for the choice, in words
    images: tuple[SourceImage, ...]  #: in the order of the clip: by phase, or by slice


@dataclass(frozen=True)
class MissingView:
    """A view slot of the bundle that the study did not fill."""

    view: str
    reason: str


@dataclass(frozen=True)
class UnusedStack:
    """Images of the study that no view slot took."""

    series_uid: str
    series_description: str
    images: int
    reason: str


@dataclass(frozen=True)
class ModelIdentity:
    """Which model spoke."""

    name: str
    version: str
    digest: str  #: SHA-256 of the bundle's manifest, in hexadecimal
    trained: bool
    intended_use: str
    execution_provider: str  #: as ONNX Runtime names it, e.g. "CPUExecutionProvider"


@dataclass(frozen=True)
class KeyFrame:
    """An image that made a score."""

    view: str  #: the slot that it filled
    image: SourceImage
    #: what the score loses without its view and wins by that view alone, their mean
    relevance: float


@dataclass(frozen=True)
class SimilarCase:
    """A past case that looks like this one.

    Another patient's has a key that only this worker resolves; the patient's own has its images.
    """

    similarity: float  #: cosine of the two studies, -1 to 1
    key: str = ""  #: opaque, and of this report alone
    study_uid: str = ""  #: only of the patient's own, or where the site allows others' UIDs
    images: tuple[SourceImage, ...] = ()  #: likewise
    likeness: float | None = None  #: share of random pairs of cases that are less alike, if known


#: Stands wherever the flags of such a study stand.
OUT_OF_DISTRIBUTION_NOTE = "This study is unlike those that the model knows: its flags say little."


@dataclass(frozen=True)
class Familiarity:
    """How far a study lies from those that the model knows."""

    distance: float  #: of its strangest view; about 1 is usual
    limit: float  #: beyond it the study is unlike those that the model knows
    strangest_view: str  #: the slot's name in the bundle's manifest

    @property
    def is_known(self) -> bool:
        """Whether the study is like those that the model knows."""
        return self.distance <= self.limit

    @property
    def figures(self) -> str:
        """Return what it was told by, in words."""
        return f"distance {self.distance:.2f}, familiar up to {self.limit:.2f}"


def format_share(likeness: float) -> str:
    """Return e.g. "99.2%"; never the whole, for there are more pairs than were drawn."""
    return f"{min(likeness, 0.999):.1%}"


class Disclosure(StrEnum):
    """What a site lets reports tell of similar cases."""

    NONE = "none"  #: nothing
    OPAQUE = "opaque"  #: of other patients' cases the similarity and a key that says nothing
    UIDS = "uids"  #: their Study Instance UIDs as well: closed teaching or consented archives


def limit_disclosure(
    similar: Sequence[SimilarCase], disclosure: Disclosure
) -> tuple[SimilarCase, ...]:
    """Return similar cases with no more in them than may be told; the patient's own stay whole."""
    if disclosure is Disclosure.NONE:
        return ()
    if disclosure is Disclosure.UIDS:
        return tuple(replace(case, images=()) if case.key else case for case in similar)
    return tuple(replace(case, study_uid="", images=()) if case.key else case for case in similar)


@dataclass(frozen=True)
class Answer:
    """The answer for one finding."""

    finding: Finding
    #: mean cosine similarity to the prompts, -1 to 1, or of a finding that is asked by examples
    #: its own measure (triage/model/fitted.py); None if not computed
    score: float | None
    threshold: float | None  #: None where the bundle has no calibration for this finding
    flag: Flag
    presence: Presence
    reason: str  #: why this flag, in words for the radiologist
    views: tuple[str, ...]  #: the finding's views that the study filled
    key_frames: tuple[KeyFrame, ...] = ()  #: the images that made the score, the foremost first
    fitted: str = ""  #: digest of what was fitted from examples, where it is asked by them


@dataclass(frozen=True)
class Assessment:
    """Everything that is said about one revision of a study."""

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
    why_none_similar: str = ""  #: why no other patient's case is among them, where it was asked
    familiarity: Familiarity | None = None  #: None where the bundle cannot tell

    @property
    def flag(self) -> Flag:
        """The root flag: Yes if any finding is flagged, Not Evaluated if none was evaluated."""
        flags = {answer.flag for answer in self.answers}
        return next((f for f in (Flag.YES, Flag.NO) if f in flags), Flag.NOT_EVALUATED)

    @property
    def is_unfamiliar(self) -> bool:
        """Whether the study was found unlike those that the model knows."""
        return self.familiarity is not None and not self.familiarity.is_known

    @property
    def priority(self) -> Priority:
        """EXPEDITE if any finding is flagged."""
        return Priority.EXPEDITE if self.flag is Flag.YES else Priority.ROUTINE
