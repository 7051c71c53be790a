from collections.abc import Sequence
from pathlib import Path

import pytest
from pydicom import Dataset

from tests.builders.hearts import VIEWS, instances
from tests.builders.images import part10
from tests.contract.ledgers import SOURCE
from triage.dicom.header import (
    PHILIPS_PHASES,
    PRIVATE_BLOCK,
    read_cardiac_images,
    read_temporal_positions,
)
from triage.domain.completeness import ViewCount, are_full
from triage.domain.study import StudyRevision
from triage.imaging.rules import load_rules
from triage.phantom.habits import Vendor
from triage.pipeline.intake import Intake
from triage.pipeline.view_coverage import ViewCoverage
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool


def kept(spool: FileSpool, ledger: SqlLedger, study: Sequence[Dataset]) -> StudyRevision:
    intake = Intake(spool, ledger)
    for image in study:
        intake.accept(part10(image), SOURCE)
    (found,) = ledger.list_studies()
    return found


@pytest.fixture
def spool(tmp_path: Path) -> FileSpool:
    return FileSpool(tmp_path)


@pytest.mark.parametrize("vendor", list(Vendor))
def test_a_complete_study_fills_all_views_and_stacks_and_one_phase_less_does_not(
    spool: FileSpool, ledger: SqlLedger, vendor: Vendor
) -> None:
    *most, last = sorted(instances(vendor), key=_phases)
    study = kept(spool, ledger, most)
    assert not are_full(ledger.list_stacks(study.study_uid, 1))
    study = kept(spool, ledger, [last])
    assert ViewCoverage(spool, ledger, VIEWS, load_rules())(study) == ViewCount(len(VIEWS), 0)
    assert are_full(ledger.list_stacks(study.study_uid, 1))


def test_stacks_without_a_stated_image_count_are_never_full(
    spool: FileSpool, ledger: SqlLedger
) -> None:
    images = instances(Vendor.PHILIPS)
    for image in images:
        for stated in (PRIVATE_BLOCK, PHILIPS_PHASES, "NumberOfTemporalPositions"):
            image.pop(stated, None)
    study = kept(spool, ledger, images)
    assert not are_full(ledger.list_stacks(study.study_uid, 1))


def test_absent_views_are_missing(spool: FileSpool, ledger: SqlLedger) -> None:
    study = kept(spool, ledger, [image for image in instances(Vendor.GE) if _phases(image)])
    seen = ViewCoverage(spool, ledger, [*VIEWS, "flow_sa"], load_rules())(study)
    assert 0 < seen.missing < len(VIEWS) + 1


def _phases(instance: Dataset) -> int:
    return read_cardiac_images(instance) or read_temporal_positions(instance)
