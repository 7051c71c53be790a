"""Forgetting a patient: what is removed, and how an interrupted removal is completed."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from triage.cases.past_cases import PastCases
from triage.domain.audit import AuditEvent
from triage.domain.case import Case
from triage.domain.errors import CaseNotFound
from triage.domain.instance import Source
from triage.pipeline.forget_patient import ForgetProgress, ForgetRequest, PatientForgetter
from triage.ports.library import Library
from triage.store.forget_journal import FileForgetJournal

STUDIES = ("1.2.1", "1.2.2")
SECRET = b"0" * 32


class ProcessKilled(BaseException):
    """The process ended at this moment."""


@dataclass
class Interruption:
    """Ends the process at the given step; `None` at none."""

    at: int | None = None
    step: int = 0

    def __call__(self) -> None:
        self.step += 1
        if self.step == self.at:
            raise ProcessKilled


@dataclass
class SiteWithOnePatient:
    """Two libraries, a store of fits, a ledger, an audit trail and a journal in a folder."""

    folder: Path
    interrupt: Interruption = field(default_factory=Interruption)
    incidents: list[str] = field(default_factory=list)
    events: list[AuditEvent] = field(default_factory=list)
    fits: set[str] = field(default_factory=lambda: {"apical_thickening"})

    def __post_init__(self) -> None:
        self.library = ListedLibrary(self, {*STUDIES})
        self.former = ListedLibrary(self, {"1.2.3"})
        self.past = PastCases(self.library, SECRET)  # type: ignore[arg-type]

    def forget_fits(self, _patient: str) -> Sequence[str]:
        self.interrupt()
        removed, self.fits = sorted(self.fits), set()
        self.interrupt()
        return removed

    def record(self, event: AuditEvent) -> None:
        self.interrupt()
        self.events.append(event)

    def report_incident(self, _kind: str, detail: str, _source: Source, path: str = "") -> None:
        del path
        self.interrupt()
        self.incidents.append(detail)

    def forgetter(self) -> PatientForgetter:
        """Return the use case, as a new process would build it."""
        libraries: list[Library] = [self.library, self.former]  # type: ignore[list-item]
        journal = FileForgetJournal(self.folder / "forgetting")
        fits = FitsOf(self)
        return PatientForgetter(self.past, libraries, [fits], self, self, journal)  # type: ignore[arg-type]


@dataclass
class FitsOf:
    site: SiteWithOnePatient

    def forget_patient(self, patient: str) -> Sequence[str]:
        return self.site.forget_fits(patient)


@dataclass
class ListedLibrary:
    """Cases of one patient by Study UID."""

    site: SiteWithOnePatient
    study_uids: set[str]

    def get_case(self, study_uid: str) -> Case | None:
        known = study_uid in self.study_uids
        return Case(study_uid, self.site.past.patient_key("4711", "")) if known else None

    def get_case_of_other_bundle(self, _study_uid: str) -> Case | None:
        return None

    def forget_patient(self, _patient: str) -> int:
        self.site.interrupt()
        removed, self.study_uids = len(self.study_uids), set()
        self.site.interrupt()
        return removed


@pytest.fixture
def site(tmp_path: Path) -> SiteWithOnePatient:
    return SiteWithOnePatient(tmp_path)


REQUESTS = [ForgetRequest("4711"), ForgetRequest(study_uid=STUDIES[0])]


@pytest.mark.parametrize("request_", REQUESTS)
def test_cases_and_fits_are_removed(site: SiteWithOnePatient, request_: ForgetRequest) -> None:
    result = site.forgetter().forget(request_, "anna")
    assert (result.cases, result.findings) == (3, ("apical_thickening",))
    assert not result.is_resumed
    assert site.incidents == ["3 case(s) removed"]
    assert len(site.events) == 1
    assert list((site.folder / "forgetting").iterdir()) == []


def test_a_second_removal_finds_nothing_and_resumes_nothing(site: SiteWithOnePatient) -> None:
    site.forgetter().forget(REQUESTS[0], "anna")
    result = site.forgetter().forget(REQUESTS[0], "anna")
    assert (result.cases, result.findings, result.is_resumed) == (0, (), False)


def test_an_unknown_study_is_an_error_and_leaves_no_journal(site: SiteWithOnePatient) -> None:
    with pytest.raises(CaseNotFound):
        site.forgetter().forget(ForgetRequest(study_uid="9.9"), "anna")
    assert not (site.folder / "forgetting").exists()


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("step", range(1, 9))
def test_an_interrupted_removal_is_completed_by_the_same_request(
    site: SiteWithOnePatient, step: int, request_: ForgetRequest
) -> None:
    site.interrupt.at = step
    with pytest.raises(ProcessKilled):
        site.forgetter().forget(request_, "anna")
    result = site.forgetter().forget(request_, "anna")
    assert result.is_resumed
    assert (site.library.study_uids, site.former.study_uids, site.fits) == (set(), set(), set())
    assert len(site.incidents) == 1
    # Steps 3, 5 and 7 end the process after a removal and before the journal has its figures.
    assert result.cases == {3: 1, 5: 2}.get(step, 3)
    assert result.findings == (() if step == 7 else ("apical_thickening",))
    assert not site.forgetter().forget(REQUESTS[0], "anna").is_resumed


def test_the_journal_finds_a_removal_by_patient_and_by_study(tmp_path: Path) -> None:
    journal = FileForgetJournal(tmp_path / "forgetting")
    assert journal.find("patient") is None
    progress = ForgetProgress("patient", "1.2.3")
    journal.write(progress)
    journal.write(replace(progress, cases=2, findings=("a", "b")))
    for found in (journal.find("patient"), journal.find_by_study("1.2.3")):
        assert found == ForgetProgress("patient", "1.2.3", 2, ("a", "b"))
    assert journal.find_by_study("1.2.4") is None
    journal.remove("patient")
    assert journal.find("patient") is None
