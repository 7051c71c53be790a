"""A study of a folder gets the scores of the worker, or one row with the reason why not."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset

from tests.builders.images import cardiac_study, image, part10, uid
from tests.unit.pipeline.assessed_studies import STUDY, assessed, trained
from triage.domain.assessment import Flag
from triage.domain.reasons import ReasonCode
from triage.model.bundle import open_bundle
from triage.pipeline.assess import Assessor
from triage.pipeline.folder_studies import DamagedFile, find_studies_in_folder
from triage.pipeline.score_studies import (
    FolderStudy,
    ScoreRow,
    StudyScorer,
    list_folder_studies,
)
from triage.runtime.model import DEMO_BUNDLE

SHORT = "pixel data is shorter than its header states"


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def write(folder: Path, images: Sequence[Dataset]) -> FolderStudy:
    folder.mkdir()
    for number, each in enumerate(images):
        (folder / f"{number:04d}").write_bytes(part10(each))
    (study,) = list_folder_studies(find_studies_in_folder(folder))
    return study


def score(assessor: Assessor, study: FolderStudy) -> tuple[ScoreRow, ...]:
    return StudyScorer(assessor.model, assessor.rules, read).score(study)


def of_drawn_hearts(assessor: Assessor) -> Assessor:
    """Return the assessor with the familiarity of the demo bundle, above every threshold."""
    bundle = open_bundle(DEMO_BUNDLE)
    manifest = bundle.manifest.model_copy(update={"synthetic_only": False})
    model = replace(trained(assessor, -1).model, bundle=replace(bundle, manifest=manifest))
    return replace(assessor, model=model)


@pytest.mark.parametrize("variant", ["untrained", "flagged", "not flagged", "unfamiliar"])
def test_the_rows_are_the_answers_of_the_worker(
    assessor: Assessor, tmp_path: Path, variant: str
) -> None:
    """The same images as files of a folder, and through intake, spool, ledger and assessor."""
    chosen = {
        "untrained": lambda: assessor,
        "flagged": lambda: trained(assessor, -1),
        "not flagged": lambda: trained(assessor, 2),
        "unfamiliar": lambda: of_drawn_hearts(assessor),
    }[variant]()
    images = cardiac_study()
    said = assessed(replace(chosen, key_frames=0), images)  # their absence would add to a reason
    rows = score(chosen, write(tmp_path / "files", images))
    assert [row.finding for row in rows] == [answer.finding.id for answer in said.answers]
    for row, answer in zip(rows, said.answers, strict=True):
        assert (row.score, row.threshold, row.flag) == (
            answer.score,
            answer.threshold,
            answer.flag,
        )
        assert (row.why, row.code) == (answer.reason, answer.why_not)
        assert row.views == tuple(view.view for view in said.used)
        assert (row.study_uid, row.patient_id) == (STUDY, "MARKED-ID")
        assert row.distance == (said.familiarity.distance if said.familiarity else None)
    expected = {"flagged": {True}, "not flagged": {True}}.get(variant, {False})
    assert {row.is_evaluated for row in rows if row.score is not None} == expected


def test_a_score_stays_where_familiarity_silences_the_answer(
    assessor: Assessor, tmp_path: Path
) -> None:
    rows = score(of_drawn_hearts(assessor), write(tmp_path / "files", cardiac_study()))
    (scored, *_) = [row for row in rows if row.score is not None]
    assert (scored.flag, scored.code) == (Flag.NOT_EVALUATED, ReasonCode.UNFAMILIAR)
    assert scored.familiar is False
    assert scored.distance is not None
    assert scored.why == "unlike the studies the model was trained on"


def test_a_study_without_a_view_has_one_row_with_the_reason(
    assessor: Assessor, tmp_path: Path
) -> None:
    knee = image("knee", "t1", AccessionNumber="A1", BodyPartExamined="KNEE")
    (row,) = score(assessor, write(tmp_path / "files", [knee]))
    assert (row.study_uid, row.patient_id, row.accession) == (uid("knee"), "MARKED-ID", "A1")
    assert (row.finding, row.score, row.code) == ("", None, ReasonCode.NO_CARDIAC_VIEW)
    assert row.why.startswith("no cardiac view found")


def test_damaged_files_are_counted_in_the_remarks(assessor: Assessor, tmp_path: Path) -> None:
    study = write(tmp_path / "files", cardiac_study())
    damaged = tuple(DamagedFile(str(tmp_path / name), STUDY, SHORT) for name in "ab")
    rows = score(assessor, replace(study, damaged=damaged))
    assert {row.remarks for row in rows} == {f"2 instance(s) not used: {SHORT}"}
    assert {row.files for row in rows} == {study.files + 2}


def test_a_study_of_damaged_files_alone_has_a_row(assessor: Assessor, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "1").write_bytes(part10(image("torn", AccessionNumber="A2"))[:-100])
    (folder / "2").write_bytes(part10(image())[:140])
    lost, torn = list_folder_studies(find_studies_in_folder(folder))
    (row,) = score(assessor, torn)
    assert (row.study_uid, row.patient_id, row.accession) == (uid("torn"), "MARKED-ID", "A2")
    assert row.code is ReasonCode.NO_READABLE_HEADER
    assert row.remarks.startswith("1 instance(s) not used: ")
    (row,) = score(assessor, lost)
    assert (row.study_uid, row.patient_id, row.files) == ("", "", 1)
    assert row.remarks == "1 instance(s) not used: StudyInstanceUID is missing"


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OSError(5, "Input/output error"), "`triage score` failed with Input/output error"),
        (ValueError("a patient's name"), "`triage score` failed with ValueError"),
    ],
)
def test_an_error_is_a_reason_and_its_text_is_not(
    assessor: Assessor, tmp_path: Path, error: Exception, why: str
) -> None:
    study = write(tmp_path / "files", cardiac_study())
    reads = iter([error])

    def fail_once(path: str) -> bytes:
        for each in reads:
            raise each
        return read(path)

    (row,) = StudyScorer(assessor.model, assessor.rules, fail_once).score(study)
    assert (row.code, row.why) == (ReasonCode.SCORING_FAILED, why)
    assert row.patient_id == "MARKED-ID"
