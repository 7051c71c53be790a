"""What an assessment says of the past, with a real library."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset

from tests.builders.images import cardiac_study, part10, uid
from tests.contract.ledgers import SOURCE, current
from tests.fakes import FakeEncoder, FakeLibrary
from triage.cases.keys import case_key
from triage.cases.past_cases import LEAST, NONE_NEAR, TOO_FEW, PastCases
from triage.cases.readings.report_index import LinkedReading
from triage.cases.search import CaseQuery
from triage.domain.assessment import Assessment, SimilarCase
from triage.domain.case import Case, Filter
from triage.domain.errors import LedgerUnavailable
from triage.domain.study import Event
from triage.pipeline.assess import Assessor, read_summary
from triage.pipeline.intake import Intake
from triage.ports.encoder import Embedding, Frames
from triage.store.database import Database
from triage.store.library import ExactLibrary

SECRET = b"s" * 32
STUDY = uid("study")


class Telling(FakeEncoder):
    """An encoder that sees what the test says."""

    vector: Embedding

    def encode_clip(self, frames: Frames) -> Embedding:  # noqa: ARG002
        return self.vector


def drawn(seed: int) -> Embedding:
    return unit(np.random.default_rng(seed).standard_normal(FakeEncoder.size))


def unit(vector: NDArray[np.floating]) -> Embedding:
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@pytest.fixture
def past(tmp_path: Path) -> PastCases:
    database = Database(f"sqlite:///{tmp_path / 'cases.sqlite'}")
    return PastCases(ExactLibrary(database, tmp_path / "cases", "b" * 64, FakeEncoder.size), SECRET)


@pytest.fixture
def looking(assessor: Assessor, past: PastCases) -> Assessor:
    encoder = Telling()
    encoder.vector = drawn(0)
    return replace(assessor, model=replace(assessor.model, encoder=encoder), past=past)


def strangers(past: PastCases, count: int) -> None:
    for number in range(1, count + 1):
        past.library.add(Case(f"1.2.{number}", f"stranger {number}"), drawn(number))


def assessed(assessor: Assessor, study: str = STUDY, **values: str) -> Assessment:
    intake = Intake(assessor.spool, assessor.ledger)
    for each in cardiac_study():
        _put(each, study, values)
        intake.accept(part10(each), SOURCE)
    revision = current(assessor.ledger, study)
    assert assessor.ledger.move(revision, Event.JUDGED_COMPLETE, "quiet")
    assessor.assess(study, revision.revision)
    summary = assessor.ledger.get_summary(study, revision.revision)
    assert summary is not None, current(assessor.ledger, study).reason
    return read_summary(summary)


def _put(image: Dataset, study: str, values: dict[str, str]) -> None:
    if study != STUDY:
        image.StudyInstanceUID = study
        image.SeriesInstanceUID = uid(f"{study} {image.SeriesInstanceUID}")
        image.SOPInstanceUID = uid(f"{study} {image.SOPInstanceUID}")
    for keyword, value in values.items():
        setattr(image, keyword, value)


def test_an_empty_past_has_no_similar_case(looking: Assessor) -> None:
    assert assessed(looking).similar == ()


def test_an_assessed_study_is_a_case_without_the_patient_s_number(
    looking: Assessor, past: PastCases
) -> None:
    said = assessed(looking, PatientID="4711-HIDDEN")
    kept = past.library.get_case(STUDY)
    assert kept is not None
    assert kept.views == tuple(view.view for view in said.used)
    assert kept.images == tuple(view.images[0] for view in said.used)
    assert "4711" not in repr(kept)


def test_the_patient_s_own_studies_are_always_listed_and_first(
    looking: Assessor, past: PastCases
) -> None:
    strangers(past, 60)
    first = assessed(looking, PatientID="4711")
    earlier = uid("earlier")
    encoder = looking.model.encoder
    assert isinstance(encoder, Telling)
    encoder.vector = -encoder.vector  # as unlike as can be
    second = assessed(looking, earlier, PatientID="4711")
    own = [case for case in second.similar if not case.key]
    assert [case.study_uid for case in own] == [STUDY]
    assert own[0].similarity == pytest.approx(-1, abs=2e-3)
    assert own[0].likeness == 0
    assert own[0].images == tuple(view.images[0] for view in first.used)


def test_another_patient_s_case_is_similar_only_above_nearly_all_random_pairs(
    looking: Assessor, past: PastCases
) -> None:
    strangers(past, 60)
    encoder = looking.model.encoder
    assert isinstance(encoder, Telling)
    known = np.stack([drawn(number) for number in range(1, 61)])
    encoder.vector = next(
        each for seed in range(1000, 2000) if (known @ (each := drawn(seed))).max() < 0.6
    )
    said = assessed(looking)  # nobody stands out
    assert (said.similar, said.why_none_similar) == ((), NONE_NEAR)
    past.library.add(Case("9.9.9", "other"), unit(encoder.vector + 0.02 * drawn(7)))
    other = uid("other study")
    said = assessed(looking, other, PatientID="4712")
    assert said.why_none_similar == ""
    (first, *rest) = said.similar
    assert {case.study_uid for case in (first, *rest)} == {""}  # opaque by default
    assert first.likeness is not None
    assert first.likeness >= LEAST
    told = {case.key for case in (first, *rest)}
    assert told <= {case_key(SECRET, other, each) for each in ("9.9.9", STUDY)}
    assert case_key(SECRET, other, "9.9.9") in told


def test_too_few_cases_call_nothing_similar(looking: Assessor, past: PastCases) -> None:
    encoder = looking.model.encoder
    assert isinstance(encoder, Telling)
    past.library.add(Case("9.9.9", "other"), encoder.vector)
    said = assessed(looking)
    assert said.similar == ()
    assert said.why_none_similar == TOO_FEW


def test_a_study_is_no_case_of_its_own_when_it_comes_again(
    looking: Assessor, past: PastCases
) -> None:
    header = Dataset()
    header.PatientID, header.StudyInstanceUID = "4711", STUDY
    said = assessed(looking, PatientID="4711")
    encoder = looking.model.encoder
    assert isinstance(encoder, Telling)
    past.add_study(header, said.used, said.answers, encoder.vector)
    assert past.find_similar(STUDY, header, encoder.vector).cases == ()
    assert past.library.count_cases() == 1
    (own,) = past.find_similar(uid("next"), header, encoder.vector).cases
    assert isinstance(own, SimilarCase)
    assert own.study_uid == STUDY


def test_what_a_radiologist_wrote_stays_with_a_case_that_is_assessed_again(
    looking: Assessor, past: PastCases
) -> None:
    header = Dataset()
    header.PatientID, header.StudyInstanceUID = "4711", STUDY
    vector = drawn(0)
    past.add_study(header, (), (), vector, LinkedReading("No scar.", ("lge",), labelled=True))
    past.add_study(header, (), (), vector)
    case = past.library.get_case(STUDY)
    assert case is not None
    assert (case.impression, case.confirmed) == ("No scar.", ("lge",))
    assert past.record_reading(STUDY, LinkedReading("Scar.", (), labelled=True))
    assert not past.record_reading(STUDY, LinkedReading("Scar.", ()))
    assert not past.record_reading("1.2.3", LinkedReading("Scar.", ()))
    case = past.library.get_case(STUDY)
    assert case is not None
    assert (case.impression, case.confirmed) == ("Scar.", ())
    said = assessed(looking, PatientID="4711")
    assert said.study_uid == STUDY
    case = past.library.get_case(STUDY)
    assert case is not None
    assert case.impression == "Scar."
    assert case.views


def test_a_new_bundle_takes_over_what_a_radiologist_wrote(past: PastCases, tmp_path: Path) -> None:
    header = Dataset()
    header.PatientID, header.StudyInstanceUID = "4711", STUDY
    past.add_study(header, (), (), drawn(0), LinkedReading("No scar.", ("lge",), labelled=True))
    database = Database(f"sqlite:///{tmp_path / 'cases.sqlite'}")
    new = PastCases(ExactLibrary(database, tmp_path / "cases", "c" * 64, FakeEncoder.size), SECRET)
    assert list(new.library.list_study_uids_of_other_bundles()) == [STUDY]
    new.add_study(header, (), (), drawn(1))
    case = new.library.get_case(STUDY)
    assert case is not None
    assert case.impression == "No scar."
    assert list(new.library.list_study_uids_of_other_bundles()) == []


def test_a_library_that_is_down_holds_no_report_up(looking: Assessor, past: PastCases) -> None:
    class Down(FakeLibrary):
        def list_typical_cosines(self) -> Sequence[float]:
            raise LedgerUnavailable

        def add(self, case: Case, embedding: Embedding) -> None:  # noqa: ARG002
            raise LedgerUnavailable

    said = assessed(replace(looking, past=replace(past, library=Down())))
    assert said.similar == ()
    assert looking.ledger.list_products(said.study_uid, 1)


def test_a_search_lists_the_same_patient_s_studies_apart_and_whatever_the_filters(
    past: PastCases,
) -> None:
    strangers(past, 20)
    for number in range(3):
        past.library.add(Case(f"own.{number}", "them", vendor="ge"), drawn(100 + number))
    like, asked = past.library.get_case("own.0"), drawn(100)
    assert like is not None
    found = past.find_nearest(asked, CaseQuery(count=5, where=Filter(vendor="siemens")), like)
    assert {each.case.study_uid for each in found if each.own} == {"own.1", "own.2"}
    assert len(found) == 2
    found = past.find_nearest(asked, CaseQuery(count=5), like)
    assert {each.case.study_uid for each in found if each.own} == {"own.1", "own.2"}
    assert all(each.case.patient != "them" for each in found if not each.own)
    assert len(found) == 7
    found = past.find_nearest(asked, CaseQuery(count=22, same_patient=True), like)
    assert not any(each.own for each in found)
    assert {"own.1", "own.2"} < {each.case.study_uid for each in found}
    assert "own.0" not in {each.case.study_uid for each in found}


def test_a_second_source_takes_nothing_away(past: PastCases) -> None:
    header = Dataset()
    header.PatientID, header.StudyInstanceUID = "4711", STUDY
    past.add_study(header, (), (), drawn(0), LinkedReading("Dilated.", ()))
    past.record_reading(STUDY, LinkedReading("", ("lge",), labelled=True))
    past.record_reading(STUDY, LinkedReading("From the archive.", from_archive=True))
    past.add_study(header, (), (), drawn(1), LinkedReading("From the archive.", from_archive=True))
    case = past.library.get_case(STUDY)
    assert case is not None
    assert (case.impression, case.confirmed, case.labelled) == ("Dilated.", ("lge",), True)


def test_a_study_whose_patient_was_corrected_is_not_similar_to_itself(
    looking: Assessor, past: PastCases
) -> None:
    strangers(past, 60)
    header = Dataset()
    header.PatientID, header.StudyInstanceUID = "wrong", STUDY
    past.add_study(header, (), (), drawn(0))
    said = assessed(looking, PatientID="right")
    assert all(case.similarity < 0.99 for case in said.similar)
