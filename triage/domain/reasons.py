"""Reasons for states of studies and for silent findings: a code, and the sentence made from it.

Nothing is decided by the text of a reason; it may be rewritten here without changing what the
worker does. The ledger stores the sentence, `triage status`, the pages and reports show it, and
deploy/REASONS.md lists every reason. To add a reason, add a code and its text, and run
`python -m tests.builders.generated_documents`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class ReasonCode(StrEnum):
    """Why a study changed its state or a finding lacks an answer or images, or a remark to that."""

    INSTANCES_ARRIVE = "instances-arrive"
    LATE_INSTANCE = "late-instance"
    LATE_INSTANCES = "late-instances"
    CORRECTED_INSTANCES = "corrected-instances"
    EARLIER_IMAGES_REMOVED = "earlier-images-removed"
    HARD_LIMIT = "hard-limit"
    ALL_ANNOUNCED = "all-announced"
    ARCHIVE_COUNT = "archive-count"
    ALL_VIEWS = "all-views"
    QUIET_TIME = "quiet-time"
    ASSOCIATIONS_OPEN = "associations-open"
    ANNOUNCED_MISSING = "announced-missing"
    STEP_IN_PROGRESS = "step-in-progress"
    STEP_DISCONTINUED = "step-discontinued"
    ARCHIVE_HAS_MORE = "archive-has-more"
    CLAIMED = "claimed"
    IMAGES_UNAVAILABLE = "images-unavailable"
    ASSESSMENT_FAILED = "assessment-failed"
    WORKER_LOST = "worker-lost"
    WORKER_LOST_AGAIN = "worker-lost-again"
    MOSTLY_REMOVED = "mostly-removed"
    SEVERAL_PATIENTS = "several-patients"
    SEVERAL_VALUES = "several-values"
    SPELLINGS = "spellings"
    UNREADABLE_ELEMENTS = "unreadable-elements"
    UNREADABLE_INSTANCES = "unreadable-instances"
    UNDECODABLE_IMAGES = "undecodable-images"
    NO_READABLE_HEADER = "no-readable-header"
    NO_MR_IMAGES = "no-mr-images"
    NO_CARDIAC_VIEW = "no-cardiac-view"
    NO_DECODABLE_VIEW = "no-decodable-view"
    UNKNOWN_BEAT = "unknown-beat"
    FEW_PHASES = "few-phases"
    PART_OF_A_BEAT = "part-of-a-beat"
    POSITION_CHANGES = "position-changes"
    ASSESSED = "assessed"
    ACKNOWLEDGED = "acknowledged"
    DELIVERIES_GIVEN_UP = "deliveries-given-up"
    MAY_HAVE_ARRIVED = "may-have-arrived"
    SOME_MAY_HAVE_ARRIVED = "some-may-have-arrived"
    REPLAYED = "replayed"
    REASSESSED = "reassessed"
    RESENT = "resent"
    MODEL_UNTRAINED = "model-untrained"
    VIEWS_NOT_SHOWN = "views-not-shown"
    NOT_CALIBRATED = "not-calibrated"
    VIEWS_NOT_CALIBRATED = "views-not-calibrated"
    CALIBRATED_OTHER_CONTENT = "calibrated-other-content"
    CALIBRATED_OTHER_BUNDLE = "calibrated-other-bundle"
    NOT_FITTED = "not-fitted"
    FEW_EXAMPLES = "few-examples"
    UNFAMILIAR = "unfamiliar"
    NOT_SYNTHETIC = "not-synthetic"
    NO_OWN_IMAGE = "no-own-image"
    SCORING_FAILED = "scoring-failed"


@dataclass(frozen=True)
class ReasonText:
    """The sentence of a reason, and what a reader can do about it."""

    sentence: str  #: a template for `str.format`
    action: str = ""  #: empty if nothing needs to be done


TEXTS: Mapping[ReasonCode, ReasonText] = MappingProxyType(
    {
        ReasonCode.INSTANCES_ARRIVE: ReasonText("instances arrive"),
        ReasonCode.LATE_INSTANCE: ReasonText("a late instance"),
        ReasonCode.LATE_INSTANCES: ReasonText("late instances after revision {revision}"),
        ReasonCode.CORRECTED_INSTANCES: ReasonText(
            "instances came again with other content under the same UIDs",
            "Compare patient and study in the archive with those of the earlier revision.",
        ),
        ReasonCode.EARLIER_IMAGES_REMOVED: ReasonText(
            "its {instances} instances were removed by the `retention` settings",
            "Send the whole study again for a report on all of it.",
        ),
        ReasonCode.HARD_LIMIT: ReasonText(
            "at the limit of {limit_s:g} s after its first instance, with {instances} instances",
            "If studies often reach the limit, raise `receiver.complete.at_most_s`.",
        ),
        ReasonCode.ALL_ANNOUNCED: ReasonText("all {announced} announced instances are here"),
        ReasonCode.ARCHIVE_COUNT: ReasonText(
            "all {instances} instances that {archive} has are here"
        ),
        ReasonCode.ALL_VIEWS: ReasonText(
            "all {views} views are there and all {stacks} cine stacks are full, after {instances} "
            "instances"
        ),
        ReasonCode.QUIET_TIME: ReasonText("quiet for {quiet_s:g} s after {instances} instances"),
        ReasonCode.ASSOCIATIONS_OPEN: ReasonText(
            "{associations} association(s) that sent instances are still open"
        ),
        ReasonCode.ANNOUNCED_MISSING: ReasonText(
            "{received} of {announced} announced are here",
            "If images are missing in the report, send the rest of the study.",
        ),
        ReasonCode.STEP_IN_PROGRESS: ReasonText("a procedure step is in progress"),
        ReasonCode.STEP_DISCONTINUED: ReasonText("a procedure step was discontinued"),
        ReasonCode.ARCHIVE_HAS_MORE: ReasonText(
            "{archive} has {instances}",
            "If images are missing in the report, send the rest of the study.",
        ),
        ReasonCode.CLAIMED: ReasonText("by {holder}"),
        ReasonCode.IMAGES_UNAVAILABLE: ReasonText(
            "the images cannot be read now: {error}",
            "Check the object store; the study is tried again until its images can be read.",
        ),
        ReasonCode.ASSESSMENT_FAILED: ReasonText(
            "the assessment failed with {error}, attempt {attempt} of {max_attempts}",
            "After the last attempt: see the log, then `triage replay`.",
        ),
        ReasonCode.WORKER_LOST: ReasonText(
            "worker {holder} stopped renewing its lease, attempt {attempt} of {max_attempts}"
        ),
        ReasonCode.WORKER_LOST_AGAIN: ReasonText(
            "worker {holder} stopped renewing its lease, attempt {attempt} of {max_attempts}; the "
            "study may be the cause: `triage replay` tries it again",
            "Look for a crash, for lack of memory or for a process that hung in the logs, then "
            "`triage replay`.",
        ),
        ReasonCode.MOSTLY_REMOVED: ReasonText(
            "{instances} of {before} instances came again after retention had removed them: the "
            "report on all of them stays valid; send the whole study for another",
            "Send the whole study if another report is needed.",
        ),
        ReasonCode.SEVERAL_PATIENTS: ReasonText(
            "study {study_uid} contains images of {patients} patients: {keyword} differs; correct "
            "the study in the archive and send it again under new UIDs",
            "Correct the study in the archive and send it under new UIDs.",
        ),
        ReasonCode.SEVERAL_VALUES: ReasonText(
            "an image has {values} different values of {keyword}, which has one; correct the study "
            "in the archive and send it again under new UIDs",
            "Correct the study in the archive and send it under new UIDs.",
        ),
        ReasonCode.SPELLINGS: ReasonText(
            "the images spell the patient's name in {spellings} ways",
            "Compare the images in the archive if the name in the report is not the usual one.",
        ),
        ReasonCode.UNREADABLE_ELEMENTS: ReasonText(
            "elements that cannot be read are treated as missing, by number of instances: "
            "{elements}",
            "Correct the sending system if a view is missing or a value is blank in the report.",
        ),
        ReasonCode.UNREADABLE_INSTANCES: ReasonText(
            "{instances} instance(s) not used: {error}",
            "Correct the element in the sending system and send the study again under new UIDs.",
        ),
        ReasonCode.UNDECODABLE_IMAGES: ReasonText(
            "{images} image file(s) left out: {error}",
            "Send the image again under a new UID, uncompressed if its compression is the cause.",
        ),
        ReasonCode.NO_READABLE_HEADER: ReasonText(
            "no instance has a header that can be parsed", "Check the sending system."
        ),
        ReasonCode.NO_MR_IMAGES: ReasonText("no MR images, only {modalities}"),
        ReasonCode.NO_CARDIAC_VIEW: ReasonText(
            "no cardiac view found: {seen}",
            "If the study has cardiac views, see `triage series` and `series_rules`.",
        ),
        ReasonCode.NO_DECODABLE_VIEW: ReasonText(
            "no view can be decoded: {errors}", "Check the images in the archive."
        ),
        ReasonCode.UNKNOWN_BEAT: ReasonText(
            "not a cine: {images} images at one position over {span_s:.1f} s, longer than a "
            "heartbeat, and no attribute states how long a heartbeat is",
            "Let the scanner write Nominal Interval or Heart Rate, or send a gated cine.",
        ),
        ReasonCode.FEW_PHASES: ReasonText(
            "not a cine: {phases} phases in one heartbeat, fewer than {fewest}"
        ),
        ReasonCode.PART_OF_A_BEAT: ReasonText(
            "not a cine: {phases} phases leave {gap_ms:.0f} of the {beat_ms:.0f} ms of a heartbeat "
            "without an image",
            "If images are missing, send the rest of the study.",
        ),
        ReasonCode.POSITION_CHANGES: ReasonText(
            "not a cine: its position changes during the heartbeat, and {phases} phases are at one "
            "position"
        ),
        ReasonCode.ASSESSED: ReasonText("{products} product(s), {deliveries} delivery(ies)"),
        ReasonCode.ACKNOWLEDGED: ReasonText("{deliveries} delivery(ies) acknowledged"),
        ReasonCode.DELIVERIES_GIVEN_UP: ReasonText(
            "{deliveries} delivery(ies) given up; see `triage status` and `triage replay "
            "--deliveries`",
            "Read the last answer in `triage status`, correct the cause, then `triage replay "
            "--deliveries`.",
        ),
        ReasonCode.MAY_HAVE_ARRIVED: ReasonText(
            "the receiver may have it: {attempts} attempt(s) got no clear answer",
            "Look in the receiver. If it has no such message, `triage replay --delivery`.",
        ),
        ReasonCode.SOME_MAY_HAVE_ARRIVED: ReasonText(
            "the receiver may have {deliveries} of them",
            "Look in the receiver before `triage replay --deliveries` sends them once more.",
        ),
        ReasonCode.REPLAYED: ReasonText("requested with `triage replay`"),
        ReasonCode.REASSESSED: ReasonText(
            "revision {revision} is assessed again, requested with `triage replay --reassess`"
        ),
        ReasonCode.RESENT: ReasonText(
            "{deliveries} delivery(ies) to {destinations} are sent again, requested with `triage "
            "replay --resend`"
        ),
        ReasonCode.MODEL_UNTRAINED: ReasonText(
            "model is untrained", "Install a trained bundle (`model.bundle`)."
        ),
        ReasonCode.VIEWS_NOT_SHOWN: ReasonText(
            "the study shows none of the views {views}",
            "`triage series` shows how each series was recognised.",
        ),
        ReasonCode.NOT_CALIBRATED: ReasonText(
            "no threshold is calibrated for this model and these prompts",
            "Restore the previous prompts, calibrate the finding at this site with `triage "
            "findings calibrate`, or calibrate the model again.",
        ),
        ReasonCode.VIEWS_NOT_CALIBRATED: ReasonText(
            "no threshold is calibrated for this finding from {views} alone",
            "The finding needs further views, or a calibration or examples with exactly these.",
        ),
        ReasonCode.CALIBRATED_OTHER_CONTENT: ReasonText(
            "the site's calibration (version {version} of the finding) is of other prompts, views "
            "or texts",
            "`triage findings calibrate` calibrates the finding again, `triage findings undo` "
            "restores what was calibrated.",
        ),
        ReasonCode.CALIBRATED_OTHER_BUNDLE: ReasonText(
            "the site's calibration (version {version} of the finding) is of another model",
            "`triage findings calibrate` calibrates the finding again; with `--bundle` the "
            "thresholds of the installed model apply.",
        ),
        ReasonCode.NOT_FITTED: ReasonText(
            "not yet fitted from its examples; run `triage findings fit`",
            "Run `triage findings fit`, then restart the worker.",
        ),
        ReasonCode.FEW_EXAMPLES: ReasonText(
            "fitted from {examples}, but at least {fewest} patients of each side are needed whose "
            "studies show the same views",
            "Add examples with and without the finding, then run `triage findings fit`.",
        ),
        ReasonCode.UNFAMILIAR: ReasonText(
            "unlike the studies the model was trained on",
            "If a site must see such flags, `model.mark_unfamiliar` turns this into a mark.",
        ),
        ReasonCode.NOT_SYNTHETIC: ReasonText(
            "the model is for synthetic images only, and this study is not marked as synthetic",
            "Install a bundle that is intended for patients (`model.bundle`).",
        ),
        ReasonCode.NO_OWN_IMAGE: ReasonText(
            "no image of the finding's own views raised the score, so none is shown",
            "Read the flag with care. If it is frequent, check the views of the finding.",
        ),
        ReasonCode.SCORING_FAILED: ReasonText(
            "`triage score` failed with {error}",
            "See the log. The same command with the same `--csv` tries the study again.",
        ),
    }
)


@dataclass(frozen=True)
class Reason:
    """A reason with its values, and remarks to it."""

    code: ReasonCode
    values: Mapping[str, object]
    remarks: tuple["Reason", ...] = ()

    def __str__(self) -> str:
        """Return the sentence, followed by those of the remarks."""
        own = TEXTS[self.code].sentence.format(**self.values)
        return "; ".join([own, *map(str, self.remarks)])


def because(code: ReasonCode, *remarks: Reason, **values: object) -> Reason:
    """Return a reason; `values` are what its sentence contains."""
    return Reason(code, values, remarks)
