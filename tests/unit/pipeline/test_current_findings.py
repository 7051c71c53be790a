"""A worker whose findings follow the ledger between two studies."""

from dataclasses import replace

import pytest

from tests.builders.calibrations import SENSITIVE, site_threshold
from tests.builders.images import cardiac_study
from tests.contract.ledgers import current, full_ledger
from tests.fakes import FakeEncoder, FakeFindingLedger
from tests.unit.pipeline.assessed_studies import STUDY, receive
from triage.config import Settings
from triage.domain.assessment import Assessment
from triage.domain.calibration import SiteCalibration
from triage.domain.errors import ConfigurationError
from triage.domain.finding_version import (
    ChangeNote,
    FindingHistories,
    FindingState,
    FindingVersion,
    calibrate,
    edit,
    move,
    open_version,
)
from triage.domain.incident import IncidentKind
from triage.domain.reasons import ReasonCode
from triage.findings.content import build_finding_set, write_content
from triage.findings.loader import load_entries
from triage.model.prompts import embed_prompts
from triage.model.questions import build_questions
from triage.pipeline.assess import Assessor, read_summary
from triage.pipeline.current_findings import CurrentAssessor
from triage.pipeline.model_input import FindingTrial, LoadedModel
from triage.store.ledger import SqlLedger

NOTE = ChangeNote("anna", 1.0, "why")
ENTRIES = {entry.id: entry for entry in load_entries(Settings().findings)}
DILATION = ENTRIES["lv_dilation"]


class FollowedFindings:
    """A worker, and the findings that a user changes under it."""

    def __init__(self, assessor: Assessor) -> None:
        self.ledger = FakeFindingLedger()
        self.loads = 0
        self.error: ConfigurationError | None = None
        self.states = full_ledger(assessor)
        self.worker = CurrentAssessor(assessor, self.ledger, self.states, 0, self._load)
        self._assessed = 0

    def append(self, *versions: FindingVersion) -> None:
        self.ledger.append(versions, self.ledger.get_revision())

    def assess(self) -> Assessment:
        """Assess the study, again from the second time on."""
        self._assessed += 1
        if self._assessed == 1:
            receive(self.worker.assessor, cardiac_study())
        else:
            assert self.states.open_next_revision(current(self.states, STUDY), "again")
        self.worker.assess(STUDY, self._assessed)
        summary = self.states.get_summary(STUDY, self._assessed)
        assert summary is not None
        return read_summary(summary)

    def _load(self, model: LoadedModel) -> LoadedModel:
        self.loads += 1
        if self.error is not None:
            raise self.error
        present = FindingHistories(self.ledger.list_versions()).select_present()
        reported, silent = build_finding_set(present.reported), build_finding_set(present.silent)
        asked = []
        for findings in (reported, silent):
            prompts = embed_prompts(findings, model.bundle, FakeEncoder(), None)
            asked.append(build_questions(findings, model.bundle, prompts, {}))
        trial = FindingTrial(silent, asked[1]) if silent.findings else None
        return replace(model, findings=reported, questions=asked[0], trial=trial)


@pytest.fixture
def site(assessor: Assessor) -> FollowedFindings:
    return FollowedFindings(assessor)


def opened(id_: str, *, is_in_use: bool) -> FindingVersion:
    return open_version(id_, write_content(ENTRIES[id_]), NOTE, is_in_use=is_in_use)


def versions(assessment: Assessment) -> list[str]:
    return list(assessment.finding_versions)


def test_without_findings_in_the_ledger_the_file_stays_in_use(site: FollowedFindings) -> None:
    assessed = site.assess()
    assert [answer.finding.id for answer in assessed.answers] == list(ENTRIES)
    assert (versions(assessed), assessed.trial, site.loads) == ([], (), 0)


def test_each_study_is_assessed_with_the_findings_in_use_when_it_begins(
    site: FollowedFindings,
) -> None:
    first = opened("lv_dilation", is_in_use=True)
    site.append(first, opened("lge", is_in_use=True))
    assert versions(site.assess()) == ["lv_dilation 1", "lge 1"]
    other = write_content(DILATION.model_copy(update={"name": "Large left ventricle"}))
    edited = edit(first, other, NOTE)
    silent = move(edited, FindingState.SILENT, NOTE)
    site.append(edited)
    assert versions(site.assess()) == ["lv_dilation 1", "lge 1"]
    site.append(silent, move(silent, FindingState.ACTIVE, NOTE))
    assessed = site.assess()
    assert versions(assessed) == ["lv_dilation 4", "lge 1"]
    assert assessed.answers[0].finding.name == "Large left ventricle"


def test_a_silent_finding_is_scored_and_recorded_beside_the_reported_version(
    site: FollowedFindings,
) -> None:
    first = opened("lv_dilation", is_in_use=True)
    other = write_content(DILATION.model_copy(update={"prompts": ("Dilated ventricle",)}))
    edited = edit(first, other, NOTE)
    site.append(first, edited, move(edited, FindingState.SILENT, NOTE))
    assessed = site.assess()
    assert versions(assessed) == ["lv_dilation 1"]
    (silent,) = assessed.trial
    assert (silent.finding.version, silent.finding.prompts) == (3, ("Dilated ventricle",))
    assert silent.score is not None


def test_drafts_and_retired_findings_are_not_scored(site: FollowedFindings) -> None:
    retired = opened("lge", is_in_use=True)
    site.append(
        opened("lv_dilation", is_in_use=True),
        opened("rv_dilation", is_in_use=False),
        retired,
        move(retired, FindingState.RETIRED, NOTE),
    )
    assessed = site.assess()
    assert (versions(assessed), assessed.trial) == (["lv_dilation 1"], ())


def test_findings_are_loaded_once_for_a_change(site: FollowedFindings) -> None:
    site.append(opened("lge", is_in_use=True))
    for _ in range(3):
        site.assess()
    assert site.loads == 1


def test_findings_that_cannot_be_loaded_are_an_incident_and_the_earlier_ones_stay(
    site: FollowedFindings, ledger: SqlLedger
) -> None:
    first = opened("lge", is_in_use=True)
    site.append(first)
    site.assess()
    site.error = ConfigurationError("finding lge needs lge_sa")
    site.append(edit(first, first.content, NOTE))
    for _ in range(2):
        assert versions(site.assess()) == ["lge 1"]
    (incident,) = ledger.incidents()
    assert incident.kind == IncidentKind.FINDINGS_NOT_LOADED
    assert incident.detail == "revision 2 of the findings: finding lge needs lge_sa"
    site.error = None
    site.append(move(edit(first, first.content, NOTE), FindingState.RETIRED, NOTE))
    site.append(opened("lv_dilation", is_in_use=True))
    assert versions(site.assess()) == ["lv_dilation 1"]


def test_a_calibration_applies_from_the_next_study_on(site: FollowedFindings) -> None:
    first = opened("lge", is_in_use=True)
    site.append(first)
    before = site.assess()
    model = site.worker.assessor.model
    views = model.bundle.manifest.clip.name_views([view.view for view in before.used])
    threshold = site_threshold(views, at=-0.99)
    made_for = model.bundle.digest
    calibration = SiteCalibration(first.digest, made_for, SENSITIVE, (threshold,))
    calibrated = calibrate(first, calibration, NOTE)
    site.append(calibrated)
    (answer,) = site.assess().answers
    assert (answer.threshold, answer.target) == (-0.99, SENSITIVE)
    edited = edit(
        calibrated, write_content(ENTRIES["lge"].model_copy(update={"name": "Scar"})), NOTE
    )
    site.append(edited, move(edited, FindingState.ACTIVE, NOTE))
    (answer,) = site.assess().answers
    assert (answer.threshold, answer.target) == (None, None)
    why_not = site.worker.assessor.model.questions["lge"].why_not
    assert why_not is not None
    assert why_not.code is ReasonCode.CALIBRATED_OTHER_CONTENT
