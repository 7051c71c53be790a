"""Use case: remove a patient from the past cases and from the findings fitted from them.

Every step may be repeated. The journal records a removal before its first step and forgets it after
the last one, so that a run that was interrupted can be resumed: by the same command, also with a
Study UID whose case the interrupted run has removed already.

Invariants: tests/unit/pipeline/test_forget_patient.py interrupts the removal after each step, and
tests/integration/test_forget.py kills the process.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from triage.cases.past_cases import PastCases
from triage.domain.audit import build_erasure_event
from triage.domain.incident import IncidentKind
from triage.domain.instance import Source
from triage.ports.audit import AuditTrail
from triage.ports.incidents import IncidentLedger
from triage.ports.library import Library


@dataclass(frozen=True)
class ForgetRequest:
    """The patient to remove: a Patient ID, or the Study UID of a case without one."""

    patient_id: str = ""
    issuer: str = ""  #: Issuer of Patient ID (0010,0021)
    study_uid: str = ""


@dataclass(frozen=True)
class ForgetProgress:
    """The progress of one removal, which the journal keeps until the removal is complete."""

    patient: str  #: the patient's key in the library
    study_uid: str = ""
    cases: int = 0
    findings: tuple[str, ...] = ()  #: ids of findings that were fitted from the patient's cases


@dataclass(frozen=True)
class ForgetResult:
    """The result of all runs of one request together."""

    cases: int
    findings: tuple[str, ...]
    is_resumed: bool  #: an earlier run was interrupted, and this one has completed it
    cases_before: int  #: how many of `cases` the interrupted run had removed


class FittingStore(Protocol):
    """A store of findings that were fitted from past cases."""

    def forget_patient(self, patient: str) -> Sequence[str]:
        """Remove all that was fitted from a patient's cases; return the findings' ids."""


class ForgetJournal(Protocol):
    """Removals that have begun and are not complete. It survives a crash of the process."""

    def find(self, patient: str) -> ForgetProgress | None:
        """Return the progress of a patient's removal; None if none has begun."""

    def find_by_study(self, study_uid: str) -> ForgetProgress | None:
        """Return the progress of a removal that was requested by this Study UID."""

    def write(self, progress: ForgetProgress) -> None:
        """Replace the patient's progress; durable when it returns."""

    def remove(self, patient: str) -> None:
        """Remove the patient's progress."""


@dataclass(frozen=True)
class PatientForgetter:
    """Removes patients from all libraries and all fitted findings of a site."""

    past: PastCases
    libraries: Sequence[Library]
    fittings: Sequence[FittingStore]
    ledger: IncidentLedger
    audit: AuditTrail
    journal: ForgetJournal

    def forget(self, request: ForgetRequest, user: str) -> ForgetResult:
        """Remove a patient; return what was removed.

        Raises CaseNotFound for an unknown Study UID, and LedgerUnavailable: then run it again.
        """
        before = self._find_interrupted(request)
        progress = before or ForgetProgress(self._identify(request), request.study_uid)
        self.journal.write(progress)
        self.audit.record(build_erasure_event(request.patient_id, user, request.study_uid))
        for library in self.libraries:
            count = library.forget_patient(progress.patient)
            progress = replace(progress, cases=progress.cases + count)
            self.journal.write(progress)
        for store in self.fittings:
            findings = {*progress.findings, *store.forget_patient(progress.patient)}
            progress = replace(progress, findings=tuple(sorted(findings)))
            self.journal.write(progress)
        detail = f"{progress.cases} case(s) removed"
        source = Source("", f"user {user}")
        self.ledger.report_incident(IncidentKind.PATIENT_FORGOTTEN, detail, source)
        self.journal.remove(progress.patient)
        return ForgetResult(
            progress.cases,
            progress.findings,
            is_resumed=before is not None,
            cases_before=0 if before is None else before.cases,
        )

    def _find_interrupted(self, request: ForgetRequest) -> ForgetProgress | None:
        if request.study_uid:
            by_study = self.journal.find_by_study(request.study_uid)
            return by_study or self.journal.find(self._identify(request))
        return self.journal.find(self._identify(request))

    def _identify(self, request: ForgetRequest) -> str:
        """Return the patient's key in the library."""
        if request.study_uid:
            return self.past.patient_key_of(request.study_uid)
        return self.past.patient_key(request.patient_id, request.issuer)
