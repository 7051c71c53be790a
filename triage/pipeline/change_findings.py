"""Use case: change findings, each change in one transaction and in the audit trail.

`triage.domain.finding_version` has the life of a finding. The first import takes over the findings
that reports show today, from the findings file in use: so it changes no report. Later imports
compare a file with the present versions; a finding that the file lacks is retired only if the user
wants it.

With the approval of two persons, an activation waits until another author approves it. Undoing
needs no approval, because it restores only what was in use before.

A calibration is a change like any other. A budget makes the finding silent, and so does every
calibration of an active finding where two persons are needed: to let reports flag by it is a step
of its own.

Invariants: tests/integration/test_finding_crashes.py kills the process at every `ChangePoint`.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from triage.crash_points import ChangePoint, mark_reached
from triage.domain.audit import AuditOutcome, build_finding_event
from triage.domain.calibration import CalibrationPolicy, SiteCalibration
from triage.domain.errors import ConfigurationError, FindingChangeRefused
from triage.domain.finding import explain_missing_views
from triage.domain.finding_version import (
    MOVES,
    ChangeNote,
    ChangeRefusal,
    FindingHistories,
    FindingState,
    FindingVersion,
    approve,
    ask_for_activation,
    calibrate,
    drop_calibration,
    edit,
    is_same_author,
    move,
    open_version,
    restore,
    silence,
)
from triage.domain.reasons import Reason
from triage.findings.content import read_content, write_content
from triage.findings.entries import FindingEntry
from triage.ports.audit import AuditTrail
from triage.ports.clock import Clock
from triage.ports.findings import FindingLedger

EVALUATED = frozenset({FindingState.SILENT, FindingState.ACTIVE})


@dataclass
class ImportResult:
    """The ids of the findings, by what an import did with them."""

    taken_over: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    edited: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)  #: were retired, and are drafts
    unchanged: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  #: not in the file, and unchanged
    retired: list[str] = field(default_factory=list)  #: not in the file


class _Draft:
    """The versions that one change will append, on top of those of the ledger."""

    def __init__(self, known: Sequence[FindingVersion], revision: int) -> None:
        self.histories = FindingHistories(known)
        self.revision = revision
        self.new: list[FindingVersion] = []
        self._had_reports = bool(self.histories.select_present().reported)

    def add(self, version: FindingVersion) -> FindingVersion:
        """Add a version; refuse the one after which reports would show no finding."""
        self.histories.add(version)
        self.new.append(version)
        if self._had_reports and not self.histories.select_present().reported:
            raise FindingChangeRefused(ChangeRefusal.LAST_REPORTED, finding=version.finding)
        return version

    def find_latest(self, finding: str) -> FindingVersion:
        """Return the present version of a finding; raise FindingChangeRefused if unknown."""
        latest = self.histories.find_latest(finding)
        if latest is None:
            raise FindingChangeRefused(ChangeRefusal.UNKNOWN_FINDING, finding=finding)
        return latest


@dataclass(frozen=True)
class FindingEditor:
    """Changes the findings of a site.

    Every method raises FindingChangeRefused, ConfigurationError for a view that the model does not
    have, and LedgerUnavailable; nothing is changed then.
    """

    ledger: FindingLedger
    audit: AuditTrail
    clock: Clock
    views: Collection[str]  #: of the model
    needs_two_persons: bool = False
    report_from: int = 30  #: patients with a finding, and without it, for a threshold in reports

    def import_entries(
        self,
        entries: Sequence[FindingEntry],
        in_use: Callable[[], Sequence[FindingEntry]],
        author: str,
        comment: str,
        *,
        retire_missing: bool = False,
    ) -> ImportResult:
        """Make the entries of a findings file the present versions; each change is a draft.

        `in_use` returns the entries that reports show while the ledger has no findings.
        """
        draft, note, result = self._begin(), self._note(author, comment), ImportResult()
        for entry in entries:
            self._require_views(entry)
        if draft.revision == 0:
            for entry in in_use():
                draft.add(open_version(entry.id, write_content(entry), note, is_in_use=True))
                result.taken_over.append(entry.id)
        for entry in entries:
            _import_entry(draft, entry, note, result)
        _treat_missing(draft, {entry.id for entry in entries}, note, result, retire=retire_missing)
        self._store(draft)
        return result

    def move(self, finding: str, state: FindingState, author: str, comment: str) -> FindingVersion:
        """Move a finding to another state, or ask for its activation."""
        draft, note = self._begin(), self._note(author, comment)
        latest = draft.find_latest(finding)
        if latest.state is state:
            raise FindingChangeRefused(ChangeRefusal.ALREADY_THERE, finding=finding, state=state)
        if latest.state not in MOVES[state]:
            needed = " or ".join(sorted(MOVES[state]))
            raise FindingChangeRefused(
                ChangeRefusal.NOT_FROM_HERE, finding=finding, state=latest.state, needed=needed
            )
        if state in EVALUATED:
            self._require_views(read_content(latest))
        if state is FindingState.ACTIVE and self.needs_two_persons:
            if latest.asked_by:
                raise FindingChangeRefused(
                    ChangeRefusal.ALREADY_ASKED, finding=finding, asked_by=latest.asked_by
                )
            self._limit_thresholds(latest)
            made = draft.add(ask_for_activation(latest, note))
        else:
            moved = move(latest, state, note)
            is_shown = state is FindingState.ACTIVE
            made = draft.add(self._limit_thresholds(moved) if is_shown else moved)
        self._store(draft)
        return made

    def calibrate(
        self,
        finding: str,
        calibration: SiteCalibration,
        author: str,
        comment: str,
    ) -> FindingVersion:
        """Give a finding a calibration of the site, which was made for its present content."""
        draft, latest = self._begin_calibration(finding)
        if latest.digest != calibration.content:
            raise FindingChangeRefused(ChangeRefusal.CHANGED_MEANWHILE)
        if read_content(latest).examples is not None:
            raise FindingChangeRefused(ChangeRefusal.HAS_EXAMPLES, finding=latest.finding)
        made = calibrate(latest, calibration, self._note(author, comment))
        return self._add_calibrated(draft, made)

    def use_bundle(self, finding: str, author: str, comment: str) -> FindingVersion:
        """Let the thresholds of the bundle apply to a finding again."""
        draft, latest = self._begin_calibration(finding)
        if latest.calibration is None:
            raise FindingChangeRefused(ChangeRefusal.NOT_CALIBRATED, finding=finding)
        made = drop_calibration(latest, self._note(author, comment))
        return self._add_calibrated(draft, made)

    def _begin_calibration(self, finding: str) -> tuple[_Draft, FindingVersion]:
        """Return the present version of a finding that is not retired."""
        draft = self._begin()
        latest = draft.find_latest(finding)
        if latest.state is FindingState.RETIRED:
            needed = " or ".join(sorted(MOVES[FindingState.RETIRED]))
            raise FindingChangeRefused(
                ChangeRefusal.NOT_FROM_HERE, finding=finding, state=latest.state, needed=needed
            )
        return draft, latest

    def _add_calibrated(self, draft: _Draft, made: FindingVersion) -> FindingVersion:
        """Add a version with another calibration in the state that it may have."""
        calibration, is_active = made.calibration, made.state is FindingState.ACTIVE
        is_budget = calibration is not None and calibration.policy is CalibrationPolicy.BUDGET
        if is_budget or (is_active and self.needs_two_persons):
            made = silence(made)
        elif is_active:
            made = self._limit_thresholds(made)
        draft.add(made)
        self._store(draft)
        return made

    def _limit_thresholds(self, version: FindingVersion) -> FindingVersion:
        """Return a version with the thresholds that reports may use; refuse if there is none.

        A calibration that does not hold for its content stays: it flags nothing.
        """
        calibration = version.check_calibration()
        if calibration is None or isinstance(calibration, Reason):
            return version
        kept = calibration.keep_for_reports(self.report_from)
        if kept is None:
            best = max((each.fewest for each in calibration.thresholds), default=0)
            raise FindingChangeRefused(
                ChangeRefusal.FEW_LABELLED,
                finding=version.finding,
                fewest=self.report_from,
                best=best,
                missing=self.report_from - best,
            )
        return replace(version, calibration=kept)

    def approve(self, finding: str, author: str, comment: str) -> FindingVersion:
        """Make a finding active whose activation another author has asked for."""
        draft, note = self._begin(), self._note(author, comment)
        latest = draft.find_latest(finding)
        if not latest.asked_by:
            raise FindingChangeRefused(ChangeRefusal.NOTHING_TO_APPROVE, finding=finding)
        if is_same_author(latest.asked_by, author):
            raise FindingChangeRefused(
                ChangeRefusal.SAME_AUTHOR, finding=finding, asked_by=latest.asked_by
            )
        self._require_views(read_content(latest))
        made = draft.add(self._limit_thresholds(approve(latest, note)))
        self._store(draft)
        return made

    def undo(
        self, finding: str, author: str, comment: str, to: int | None = None
    ) -> FindingVersion:
        """Append a version with the record of an earlier one: `to`, or that before the present."""
        draft, note = self._begin(), self._note(author, comment)
        latest = draft.find_latest(finding)
        number = latest.number - 1 if to is None else to
        if number in {0, latest.number}:
            raise FindingChangeRefused(ChangeRefusal.NOTHING_TO_UNDO, finding=finding)
        earlier = draft.histories.find_version(finding, number)
        if earlier is None:
            raise FindingChangeRefused(
                ChangeRefusal.UNKNOWN_VERSION, finding=finding, number=number
            )
        if earlier.state in EVALUATED:
            self._require_views(read_content(earlier))
        made = draft.add(restore(latest, earlier, note))
        self._store(draft)
        return made

    def _begin(self) -> _Draft:
        revision = self.ledger.get_revision()  # first: a change in between is then noticed
        return _Draft(self.ledger.list_versions(), revision)

    def _note(self, author: str, comment: str) -> ChangeNote:
        return ChangeNote(author.strip(), self.clock.now(), comment.strip())

    def _require_views(self, entry: FindingEntry) -> None:
        if missing := explain_missing_views(entry.id, entry.views, self.views):
            raise ConfigurationError(missing)

    def _store(self, draft: _Draft) -> None:
        """Record the change in the audit trail, then store it."""
        if not draft.new:
            return
        self._record(draft, AuditOutcome.SUCCESS)
        mark_reached(ChangePoint.AUDITED)
        if not self.ledger.append(draft.new, draft.revision):
            self._record(draft, AuditOutcome.MINOR)
            raise FindingChangeRefused(ChangeRefusal.CHANGED_MEANWHILE)

    def _record(self, draft: _Draft, outcome: AuditOutcome) -> None:
        for made in draft.new:
            policy = made.calibration or CalibrationPolicy.BUNDLE
            what = (
                f"version {made.number}: {made.change}; {made.state}; SHA-256 {made.digest}; "
                f"thresholds: {policy}"
            )
            self.audit.record(build_finding_event(made.finding, what, made.note.author, outcome))


def _import_entry(
    draft: _Draft, entry: FindingEntry, note: ChangeNote, result: ImportResult
) -> None:
    """Make an entry the present version of its finding."""
    latest, content = draft.histories.find_latest(entry.id), write_content(entry)
    if latest is None:
        draft.add(open_version(entry.id, content, note))
        result.added.append(entry.id)
    elif write_content(read_content(latest)) != content:
        draft.add(edit(latest, content, note))
        result.edited.append(entry.id)
    elif latest.state is FindingState.RETIRED:
        draft.add(move(latest, FindingState.DRAFT, note))
        result.returned.append(entry.id)
    elif entry.id not in result.taken_over:
        result.unchanged.append(entry.id)


def _treat_missing(
    draft: _Draft,
    named: Collection[str],
    note: ChangeNote,
    result: ImportResult,
    *,
    retire: bool,
) -> None:
    """Retire the findings that a file lacks, or list them."""
    for latest in draft.histories.list_latest():
        if latest.finding in named or latest.state is FindingState.RETIRED:
            continue
        if retire:
            draft.add(move(latest, FindingState.RETIRED, note))
        (result.retired if retire else result.missing).append(latest.finding)
