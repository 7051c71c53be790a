"""The life of a finding: `draft -> silent -> active -> retired`, as a list of versions.

    draft     written; no study is checked for it
    silent    every study is scored, and the score is in the ledger alone: no report shows it
    active    reports show it
    retired   no study is checked for it any more

Every change appends one version, and none is ever altered or removed. A version is the whole record
of its finding after the change: content, state, and the version that reports show. The last version
is the present one. So an active finding can be edited: reports go on with the version that they
show until the edited one is active. Undoing a change appends a version with the earlier record.

The record includes the site's calibration, if there is one. An edit keeps it, although it does not
hold for the new content: the finding is then Not Evaluated, and does not silently take the
thresholds of the bundle again.

Numbers increase by one from 1 within a finding. The content is JSON text in a form of its own
(`triage.findings.content`), so equal findings have equal contents and digests.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from triage.domain.calibration import SiteCalibration
from triage.domain.reasons import Reason


class FindingState(StrEnum):
    """The place of a finding in its life."""

    DRAFT = "draft"
    SILENT = "silent"
    ACTIVE = "active"
    RETIRED = "retired"


class FindingChange(StrEnum):
    """The change that made a version, as the ledger stores it; never change a value."""

    TAKEN_OVER = "taken over from the findings file in use"
    ADDED = "added"
    EDITED = "edited"
    MOVED = "moved"
    ACTIVATION_ASKED = "activation asked for"
    APPROVED = "approved"
    UNDONE = "undone"
    CALIBRATED = "calibrated"


#: The states from which a user may move a finding to a state.
MOVES: Mapping[FindingState, frozenset[FindingState]] = {
    FindingState.DRAFT: frozenset(
        {FindingState.SILENT, FindingState.ACTIVE, FindingState.RETIRED},
    ),
    FindingState.SILENT: frozenset({FindingState.DRAFT, FindingState.ACTIVE}),
    FindingState.ACTIVE: frozenset({FindingState.SILENT}),
    FindingState.RETIRED: frozenset(
        {FindingState.DRAFT, FindingState.SILENT, FindingState.ACTIVE},
    ),
}


class ChangeRefusal(StrEnum):
    """Why a change of a finding is refused."""

    UNKNOWN_FINDING = "unknown-finding"
    UNKNOWN_VERSION = "unknown-version"
    ALREADY_THERE = "already-there"
    NOT_FROM_HERE = "not-from-here"
    LAST_REPORTED = "last-reported"
    NOTHING_TO_UNDO = "nothing-to-undo"
    ALREADY_ASKED = "already-asked"
    NOTHING_TO_APPROVE = "nothing-to-approve"
    SAME_AUTHOR = "same-author"
    CHANGED_MEANWHILE = "changed-meanwhile"
    FEW_LABELLED = "few-labelled"
    NOT_CALIBRATED = "not-calibrated"
    HAS_EXAMPLES = "has-examples"


REFUSALS: Mapping[ChangeRefusal, str] = {
    ChangeRefusal.UNKNOWN_FINDING: (
        "the ledger has no finding {finding}; `triage findings history` lists those it has"
    ),
    ChangeRefusal.UNKNOWN_VERSION: (
        "{finding} has no version {number}; `triage findings history {finding}` lists its versions"
    ),
    ChangeRefusal.ALREADY_THERE: "{finding} is {state} already",
    ChangeRefusal.NOT_FROM_HERE: "{finding} is {state}: before this change it has to be {needed}",
    ChangeRefusal.LAST_REPORTED: (
        "{finding} is the last finding that reports show; make another one active first"
    ),
    ChangeRefusal.NOTHING_TO_UNDO: "{finding} has no earlier version to go back to",
    ChangeRefusal.ALREADY_ASKED: (
        "{asked_by} has asked for the activation of {finding}: another person approves it with "
        "`triage findings approve {finding}`"
    ),
    ChangeRefusal.NOTHING_TO_APPROVE: "nobody has asked for the activation of {finding}",
    ChangeRefusal.SAME_AUTHOR: (
        "{asked_by} has asked for the activation of {finding}: another person has to approve it"
    ),
    ChangeRefusal.CHANGED_MEANWHILE: (
        "the findings were changed by another command at the same time, and this command changed "
        "nothing: run it again"
    ),
    ChangeRefusal.FEW_LABELLED: (
        "{finding}: reports need a calibration on {fewest} patients with the finding and {fewest} "
        "without it, whose studies show the same views (`calibration.report_from`); the best has "
        "{best} on its smaller side: label {missing} more, or try the finding in silence"
    ),
    ChangeRefusal.NOT_CALIBRATED: (
        "{finding} has no calibration of this site: the thresholds of the bundle apply already"
    ),
    ChangeRefusal.HAS_EXAMPLES: (
        "{finding} is found by examples, and its thresholds come from its fit: `triage findings "
        "fit {finding}`"
    ),
}


@dataclass(frozen=True)
class ChangeNote:
    """The author of a change, the time and the comment."""

    author: str
    at: float  #: seconds since the epoch
    comment: str


@dataclass(frozen=True)
class FindingVersion:
    """The record of a finding after one change."""

    finding: str  #: the finding's id
    number: int  #: from 1, within the finding
    change: FindingChange
    state: FindingState
    content: str  #: JSON, see `triage.findings.content`
    reported: int | None  #: number of the version that reports show; None: they do not show it
    note: ChangeNote
    asked_by: str = ""  #: the author that asked for the activation, while it waits for another
    calibration: SiteCalibration | None = None  #: None: the thresholds of the bundle apply

    @property
    def digest(self) -> str:
        """SHA-256 of the content, in hexadecimal."""
        return hashlib.sha256(self.content.encode()).hexdigest()

    def check_calibration(self, bundle: str | None = None) -> SiteCalibration | Reason | None:
        """Return the site's calibration, or why it does not hold; None if there is none.

        `bundle` is a digest; None: the bundle is not compared.
        """
        if self.calibration is None:
            return None
        return self.calibration.explain_void(self.digest, bundle) or self.calibration


@dataclass(frozen=True)
class PresentFindings:
    """The versions in use, in the order in which the findings were added."""

    reported: tuple[FindingVersion, ...]  #: the versions that reports show
    silent: tuple[FindingVersion, ...]  #: scored, and in no report


class FindingHistories:
    """All versions of all findings by finding id, each list oldest first."""

    def __init__(self, versions: Iterable[FindingVersion]) -> None:
        self._known: dict[str, list[FindingVersion]] = {}
        for version in versions:
            self.add(version)

    def add(self, version: FindingVersion) -> None:
        """Add the next version of its finding."""
        self._known.setdefault(version.finding, []).append(version)

    def list_latest(self) -> Sequence[FindingVersion]:
        """Return the last version of each finding, in the order in which they were added."""
        return [versions[-1] for versions in self._known.values()]

    def list_versions(self, finding: str) -> Sequence[FindingVersion]:
        """Return the versions of a finding, none if it is unknown."""
        return self._known.get(finding, [])

    def find_version(self, finding: str, number: int) -> FindingVersion | None:
        """Return a version of a finding; None if it does not exist."""
        versions = self.list_versions(finding)
        return versions[number - 1] if 1 <= number <= len(versions) else None

    def find_latest(self, finding: str) -> FindingVersion | None:
        """Return the last version of a finding; None if it is unknown."""
        versions = self.list_versions(finding)
        return versions[-1] if versions else None

    def select_present(self) -> PresentFindings:
        """Return the versions in use."""
        latest = self.list_latest()
        shown = (self.find_version(v.finding, v.reported) for v in latest if v.reported is not None)
        return PresentFindings(
            tuple(version for version in shown if version is not None),
            tuple(version for version in latest if version.state is FindingState.SILENT),
        )


def open_version(
    finding: str, content: str, note: ChangeNote, *, is_in_use: bool = False
) -> FindingVersion:
    """Return the first version of a finding: a draft, or active if reports show it already."""
    if is_in_use:
        taken_over, active = FindingChange.TAKEN_OVER, FindingState.ACTIVE
        return FindingVersion(finding, 1, taken_over, active, content, 1, note)
    return FindingVersion(finding, 1, FindingChange.ADDED, FindingState.DRAFT, content, None, note)


def edit(latest: FindingVersion, content: str, note: ChangeNote) -> FindingVersion:
    """Return a draft with other content; reports go on with the version that they show."""
    return _follow(latest, FindingChange.EDITED, FindingState.DRAFT, note, content=content)


def move(latest: FindingVersion, state: FindingState, note: ChangeNote) -> FindingVersion:
    """Return the version in another state, without checking that the move is allowed (`MOVES`).

    Reports show an active version. They stop showing a finding that was active or is retired.
    """
    moved = _follow(latest, FindingChange.MOVED, state, note)
    if state is FindingState.ACTIVE:
        return replace(moved, reported=moved.number)
    if state is FindingState.RETIRED or latest.state is FindingState.ACTIVE:
        return replace(moved, reported=None)
    return moved


def ask_for_activation(latest: FindingVersion, note: ChangeNote) -> FindingVersion:
    """Return the version that waits for the approval of another author."""
    asked = _follow(latest, FindingChange.ACTIVATION_ASKED, latest.state, note)
    return replace(asked, asked_by=note.author)


def approve(latest: FindingVersion, note: ChangeNote) -> FindingVersion:
    """Return the active version that another author has approved."""
    active = move(latest, FindingState.ACTIVE, note)
    return replace(active, change=FindingChange.APPROVED)


def restore(latest: FindingVersion, earlier: FindingVersion, note: ChangeNote) -> FindingVersion:
    """Return a version with the record of an earlier one."""
    change, state = FindingChange.UNDONE, earlier.state
    restored = replace(
        _follow(latest, change, state, note, content=earlier.content),
        calibration=earlier.calibration,
    )
    is_active = state is FindingState.ACTIVE
    return replace(restored, reported=restored.number if is_active else earlier.reported)


def calibrate(
    latest: FindingVersion, calibration: SiteCalibration, note: ChangeNote
) -> FindingVersion:
    """Return the version with a calibration of the site.

    It keeps its state, without checking that reports may use these thresholds.
    """
    return _recalibrate(latest, replace(calibration, version=latest.number + 1), note)


def drop_calibration(latest: FindingVersion, note: ChangeNote) -> FindingVersion:
    """Return the version without calibration of the site: the bundle's thresholds apply."""
    return _recalibrate(latest, None, note)


def silence(version: FindingVersion) -> FindingVersion:
    """Return a version that was just made as a silent one: reports do not show it."""
    is_shown = version.state is FindingState.ACTIVE
    reported = None if is_shown else version.reported
    return replace(version, state=FindingState.SILENT, reported=reported)


def _recalibrate(
    latest: FindingVersion, calibration: SiteCalibration | None, note: ChangeNote
) -> FindingVersion:
    made = _follow(latest, FindingChange.CALIBRATED, latest.state, note)
    is_active = latest.state is FindingState.ACTIVE
    reported = made.number if is_active else latest.reported
    return replace(made, calibration=calibration, reported=reported)


def is_same_author(one: str, other: str) -> bool:
    """Whether two names are the same person's: case and outer spaces do not count."""
    return one.strip().casefold() == other.strip().casefold()


def _follow(
    latest: FindingVersion,
    change: FindingChange,
    state: FindingState,
    note: ChangeNote,
    content: str | None = None,
) -> FindingVersion:
    """Return the next version of a finding, for which no activation waits."""
    return replace(
        latest,
        number=latest.number + 1,
        change=change,
        state=state,
        content=latest.content if content is None else content,
        note=note,
        asked_by="",
    )
