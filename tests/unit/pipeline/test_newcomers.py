"""The reports for a destination that was configured after a study was reported."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders.images import cardiac_study, part10, uid
from tests.contract.ledgers import SOURCE, current, full_ledger
from tests.fakes import FakeClock
from triage.domain.delivery import DICOM, HL7, JSON, Product, ReportedRevision
from triage.domain.errors import CommandFailed
from triage.domain.study import Event
from triage.pipeline.assess import Assessor
from triage.pipeline.intake import Intake
from triage.pipeline.newcomers import NewcomerReports
from triage.reports import hl7, structured_report, summary
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool

STUDY = uid("study")
TAKES = {"pacs": (DICOM,), "ris": (HL7,), "hook": (JSON, HL7)}
REPORTS = (structured_report.KIND, hl7.KIND, summary.KIND)


def assess(assessor: Assessor, *reports: str) -> ReportedRevision:
    """Assess a study for a PACS with these reports."""
    assessor = replace(assessor, reports=reports, destinations={"pacs": (DICOM,)})
    intake = Intake(assessor.spool, full_ledger(assessor))
    for dataset in cardiac_study():
        intake.accept(part10(dataset), SOURCE)
    assert assessor.ledger.move(current(assessor.ledger, STUDY), Event.JUDGED_COMPLETE, "quiet")
    assessor.assess(STUDY, 1)
    made = assessor.ledger.list_products(STUDY, 1)
    return ReportedRevision(STUDY, 1, tuple(one for one in made if not one.alternative_to))


def newcomers(assessor: Assessor) -> NewcomerReports:
    return NewcomerReports(
        full_ledger(assessor),
        assessor.spool,
        assessor.clock,
        assessor.equipment,
        TAKES,
        REPORTS,
    )


def by_kind(products: object) -> dict[str, Product]:
    return {product.kind: product for product in products}  # type: ignore[attr-defined]


def test_stored_bytes_are_sent_as_they_are(assessor: Assessor) -> None:
    reported = assess(assessor, structured_report.KIND, hl7.KIND)
    kept = by_kind(reported.products)
    reports = newcomers(assessor)
    assert reports.list_for(reported, "pacs") == [kept[structured_report.KIND]]
    assert reports.list_for(reported, "ris") == [kept[hl7.KIND]]


@pytest.mark.parametrize("kind", [hl7.KIND, summary.KIND])
def test_a_message_that_was_not_made_is_the_one_that_the_assessment_would_have_made(
    assessor: Assessor, tmp_path: Path, clock: FakeClock, kind: str
) -> None:
    reported = assess(assessor, structured_report.KIND)
    made = by_kind(newcomers(assessor).list_for(reported, "hook"))
    (tmp_path / "other").mkdir()
    ledger = SqlLedger.in_folder(tmp_path / "other", clock)
    other = replace(assessor, ledger=ledger, spool=FileSpool(tmp_path / "other"))
    expected = by_kind(assess(other, *REPORTS).products)[kind]
    ledger.close()
    assert made[kind] == expected


def test_a_message_that_retention_removed_is_made_again(assessor: Assessor) -> None:
    reported = assess(assessor, hl7.KIND)
    (kept,) = reported.products
    removed = replace(reported, products=(replace(kept, content=b""),))
    assert newcomers(assessor).list_for(removed, "ris") == [kept]


def test_a_document_is_not_made_without_its_pictures(assessor: Assessor) -> None:
    reported = assess(assessor, hl7.KIND)
    assert newcomers(assessor).list_for(reported, "pacs") == []


def test_images_that_are_gone_are_an_error_with_a_remedy(
    assessor: Assessor, tmp_path: Path
) -> None:
    reported = assess(assessor, structured_report.KIND)
    for file in [*tmp_path.rglob("*.dcm")]:
        file.unlink()
    with pytest.raises(CommandFailed, match="images of .* are not in the spool any more: send the"):
        newcomers(assessor).list_for(reported, "ris")
    assert newcomers(assessor).list_for(reported, "pacs") == [*reported.products]
