"""An element that cannot be read is stated at the study, by its keyword and without its value."""

import json
from pathlib import Path

import numpy as np
from pydicom import Dataset

from tests.builders.damaged import DamagedElement, encode_openly, list_elements
from tests.builders.hearts import VIEWS
from tests.builders.images import cardiac_study
from tests.contract.ledgers import SOURCE, current
from tests.fakes import FakeEncoder
from triage.domain.study import Event, State, StudyRevision
from triage.imaging.rules import load_rules
from triage.pipeline.assess import Assessor
from triage.pipeline.intake import Intake
from triage.pipeline.protocol_audit import build_json, build_remarks, read_folder
from triage.store.ledger import SqlLedger


def damage(dataset: Dataset, keyword: str, value: bytes = b"\1\0\2", vr: bytes = b"US") -> bytes:
    """Return an image as a file in which one element has a value of a wrong length."""
    content = encode_openly(dataset)
    (place,) = (place for place in list_elements(content) if place.keywords == (keyword,))
    return DamagedElement(content, place).with_value(value, vr)


def assess(assessor: Assessor, ledger: SqlLedger, files: list[bytes]) -> StudyRevision:
    intake = Intake(assessor.spool, ledger)
    study_uid = ""
    for content in files:
        study_uid = intake.accept(content, SOURCE).identity.study_uid
    assert ledger.move(current(ledger, study_uid), Event.JUDGED_COMPLETE, "quiet")
    assessor.assess(study_uid, 1)
    return current(ledger, study_uid)


def test_the_history_counts_what_could_not_be_read(assessor: Assessor, ledger: SqlLedger) -> None:
    files = [
        damage(each, "SeriesDescription") if number < 3 else encode_openly(each)
        for number, each in enumerate(cardiac_study())
    ]
    files[5] = damage(cardiac_study()[5], "InstanceNumber")
    study = assess(assessor, ledger, files)
    assert study.state is State.ASSESSED
    assert "InstanceNumber in 1, SeriesDescription in 3" in study.reason
    history = ledger.history(study.study_uid)
    assert any("SeriesDescription in 3" in event.reason for event in history)


def test_an_element_that_is_not_used_changes_nothing(assessor: Assessor, ledger: SqlLedger) -> None:
    encoder = assessor.model.encoder
    assert isinstance(encoder, FakeEncoder)
    assess(assessor, ledger, [encode_openly(each) for each in cardiac_study("whole")])
    for each in (images := cardiac_study("damaged")):
        each.SmallestImagePixelValue = 0
    files = [damage(each, "SmallestImagePixelValue") for each in images]
    study = assess(assessor, ledger, files)
    assert study.state is State.ASSESSED
    assert f"SmallestImagePixelValue in {len(files)}" in study.reason
    before, after = encoder.clips
    assert np.array_equal(before, after)


def test_a_study_that_is_declined_for_it_names_the_element(
    assessor: Assessor, ledger: SqlLedger
) -> None:
    study = assess(assessor, ledger, [damage(each, "TriggerTime") for each in cardiac_study()])
    assert study.state is State.DECLINED
    assert f"TriggerTime in {len(cardiac_study())}" in study.reason


def test_images_without_a_needed_element_are_counted_and_named(
    assessor: Assessor, ledger: SqlLedger
) -> None:
    images = cardiac_study()
    study = assess(assessor, ledger, [damage(each, "BitsStored") for each in images])
    assert study.state is State.DECLINED
    assert f"{len(images)} instance(s) not used: BitsStored cannot be read" in study.reason


def test_the_audit_of_a_folder_counts_them_too(tmp_path: Path) -> None:
    for number, each in enumerate(cardiac_study()):
        (tmp_path / f"{number}.dcm").write_bytes(damage(each, "ImageType"))
    found = read_folder(tmp_path, VIEWS, load_rules())
    (study,) = found.studies
    assert any(f"ImageType in {number + 1}" in line for line in build_remarks(study))
    (values,) = json.loads(json.dumps(build_json(found)))["studies"]
    assert values["unreadable_elements"] == {"ImageType": number + 1}
