"""Similar cases in an assessment, with a real library."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset

from tests.builders.images import cardiac_study, part10, uid
from tests.contract.ledgers import SOURCE, current, full_ledger
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


class FixedVectorEncoder(FakeEncoder):
    """An encoder whose clip embedding the test sets."""

    vector: Embedding

    def encode_clip(self, frames: Frames) -> Embedding:  # noqa: ARG002
        return self.vector


def random_vector(seed: int) -> Embedding:
    return unit(np.random.default_rng(seed).standard_normal(FakeEncoder.size))


def unit(vector: NDArray[np.floating]) -> Embedding:
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@pytest.fixture
def past(tmp_path: Path) -> PastCases:
    database = Database(f"sqlite:///{tmp_path / 'cases.sqlite'}")
    return PastCases(ExactLibrary(database, tmp_path / "cases", "b" * 64, FakeEncoder.size), SECRET)


@pytest.fixture
def assessor_with_library(assessor: Assessor, past: PastCases) -> Assessor:
    encoder = FixedVectorEncoder()
    encoder.vector = random_vector(0)
    return replace(assessor, model=replace(assessor.model, encoder=encoder), past=past)


def add_other_patients(past: PastCases, count: int) -> None:
    for number in range(1, count + 1):
        past.library.add(Case(f"1.2.{number}", f"other {number}"), random_vector(number))


def assessed(assessor: Assessor, study: str = STUDY, **values: str) -> Assessment:
    intake = Intake(assessor.spool, full_ledger(assessor))
    for instance in cardiac_study():
        _put(instance, study, values)
        intake.accept(part10(instance), SOURCE)
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


def test_an_empty_library_gives_no_similar_case(assessor_with_library: Assessor) -> None:
    assert assessed(assessor_with_library).similar == ()


def test_an_assessed_study_becomes_a_case_without_the_patient_id(
    assessor_with_library: Assessor, past: PastCases
) -> None:
    said = assessed(assessor_with_library, PatientID="4711-HIDDEN")
    case = past.library.get_case(STUDY)
    assert case is not None
    assert case.views == tuple(view.view for view in said.used)
    assert case.images == tuple(view.images[0] for view in said.used)
    assert "4711" not in repr(case)


def test_the_patient_s_own_studies_are_always_listed_first(
    assessor_with_library: Assessor, past: PastCases
) -> None:
    add_other_patients(past, 60)
    first = assessed(assessor_with_library, PatientID="4711")
    earlier = uid("earlier")
    encoder = assessor_with_library.model.encoder
    assert isinstance(encoder, FixedVectorEncoder)
    encoder.vector = -encoder.vector  # as dissimilar as possible
    second = assessed(assessor_with_library, earlier, PatientID="4711")
    own = [case for case in second.similar if not case.key]
    assert [case.study_uid for case in own] == [STUDY]
    assert own[0].similarity == pytest.approx(-1, abs=2e-3)
    assert own[0].likeness == 0
    assert own[0].images == tuple(view.images[0] for view in first.used)


def test_another_patient_s_case_is_similar_only_above_99_percent_of_random_pairs(
    assessor_with_library: Assessor, past: PastCases
) -> None:
    add_other_patients(past, 60)
    encoder = assessor_with_library.model.encoder
    assert isinstance(encoder, FixedVectorEncoder)
    known = np.stack([random_vector(number) for number in range(1, 61)])
    encoder.vector = next(
        v for seed in range(1000, 2000) if (known @ (v := random_vector(seed))).max() < 0.6
    )
    said = assessed(assessor_with_library)  # no case is clearly the nearest
    assert (said.similar, said.why_none_similar) == ((), NONE_NEAR)
    past.library.add(Case("9.9.9", "other"), unit(encoder.vector + 0.02 * random_vector(7)))
    other = uid("other study")
    said = assessed(assessor_with_library, other, PatientID="4712")
    assert said.why_none_similar == ""
    (first, *rest) = said.similar
    assert {case.study_uid for case in (first, *rest)} == {""}  # opaque by default
    assert first.likeness is not None
    assert first.likeness >= LEAST
    keys = {case.key for case in (first, *rest)}
    assert keys <= {case_key(SECRET, other, case_uid) for case_uid in ("9.9.9", STUDY)}
    assert case_key(SECRET, other, "9.9.9") in keys


def test_with_too_few_cases_none_is_called_similar(
    assessor_with_library: Assessor, past: PastCases
) -> None:
    encoder = assessor_with_library.model.encoder
    assert isinstance(encoder, FixedVectorEncoder)
    past.library.add(Case("9.9.9", "other"), encoder.vector)
    said = assessed(assessor_with_library)
    assert said.similar == ()
    assert said.why_none_similar == TOO_FEW


def test_a_study_is_not_similar_to_itself_when_assessed_again(
    assessor_with_library: Assessor, past: PastCases
) -> None:
    header = Dataset()
    header.PatientID, header.StudyInstanceUID = "4711", STUDY
    said = assessed(assessor_with_library, PatientID="4711")
    encoder = assessor_with_library.model.encoder
    assert isinstance(encoder, FixedVectorEncoder)
    past.add_study(header, said.used, said.answers, encoder.vector)
    assert past.find_similar(STUDY, header, encoder.vector).cases == ()
    assert past.library.count_cases() == 1
    (own,) = past.find_similar(uid("next"), header, encoder.vector).cases
    assert isinstance(own, SimilarCase)
    assert own.study_uid == STUDY


def test_a_reading_stays_with_a_case_that_is_assessed_again(
    assessor_with_library: Assessor, past: PastCases
) -> None:
    header = Dataset()
    header.PatientID, header.StudyInstanceUID = "4711", STUDY
    vector = random_vector(0)
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
    said = assessed(assessor_with_library, PatientID="4711")
    assert said.study_uid == STUDY
    case = past.library.get_case(STUDY)
    assert case is not None
    assert case.impression == "Scar."
    assert case.views


def test_a_new_bundle_takes_over_the_reading_of_a_case(past: PastCases, tmp_path: Path) -> None:
    header = Dataset()
    header.PatientID, header.StudyInstanceUID = "4711", STUDY
    past.add_study(
        header, (), (), random_vector(0), LinkedReading("No scar.", ("lge",), labelled=True)
    )
    database = Database(f"sqlite:///{tmp_path / 'cases.sqlite'}")
    new = PastCases(ExactLibrary(database, tmp_path / "cases", "c" * 64, FakeEncoder.size), SECRET)
    assert list(new.library.list_study_uids_of_other_bundles()) == [STUDY]
    new.add_study(header, (), (), random_vector(1))
    case = new.library.get_case(STUDY)
    assert case is not None
    assert case.impression == "No scar."
    assert list(new.library.list_study_uids_of_other_bundles()) == []


def test_an_unavailable_library_does_not_delay_a_report(
    assessor_with_library: Assessor, past: PastCases
) -> None:
    class UnavailableLibrary(FakeLibrary):
        def list_typical_cosines(self) -> Sequence[float]:
            raise LedgerUnavailable

        def add(self, case: Case, embedding: Embedding) -> None:  # noqa: ARG002
            raise LedgerUnavailable

    said = assessed(
        replace(assessor_with_library, past=replace(past, library=UnavailableLibrary()))
    )
    assert said.similar == ()
    assert assessor_with_library.ledger.list_products(said.study_uid, 1)


def test_a_search_lists_studies_of_the_same_patient_apart_despite_filters(
    past: PastCases,
) -> None:
    add_other_patients(past, 20)
    for number in range(3):
        past.library.add(Case(f"own.{number}", "them", vendor="ge"), random_vector(100 + number))
    like, asked = past.library.get_case("own.0"), random_vector(100)
    assert like is not None
    found = past.find_nearest(asked, CaseQuery(count=5, where=Filter(vendor="siemens")), like)
    assert {match.case.study_uid for match in found if match.own} == {"own.1", "own.2"}
    assert len(found) == 2
    found = past.find_nearest(asked, CaseQuery(count=5), like)
    assert {match.case.study_uid for match in found if match.own} == {"own.1", "own.2"}
    assert all(match.case.patient != "them" for match in found if not match.own)
    assert len(found) == 7
    found = past.find_nearest(asked, CaseQuery(count=22, same_patient=True), like)
    assert not any(match.own for match in found)
    assert {"own.1", "own.2"} < {match.case.study_uid for match in found}
    assert "own.0" not in {match.case.study_uid for match in found}


def test_a_second_source_removes_nothing(past: PastCases) -> None:
    header = Dataset()
    header.PatientID, header.StudyInstanceUID = "4711", STUDY
    past.add_study(header, (), (), random_vector(0), LinkedReading("Dilated.", ()))
    past.record_reading(STUDY, LinkedReading("", ("lge",), labelled=True))
    past.record_reading(STUDY, LinkedReading("From the archive.", from_archive=True))
    past.add_study(
        header, (), (), random_vector(1), LinkedReading("From the archive.", from_archive=True)
    )
    case = past.library.get_case(STUDY)
    assert case is not None
    assert (case.impression, case.confirmed, case.labelled) == ("Dilated.", ("lge",), True)


def test_a_study_with_a_corrected_patient_id_is_not_similar_to_itself(
    assessor_with_library: Assessor, past: PastCases
) -> None:
    add_other_patients(past, 60)
    header = Dataset()
    header.PatientID, header.StudyInstanceUID = "wrong", STUDY
    past.add_study(header, (), (), random_vector(0))
    said = assessed(assessor_with_library, PatientID="right")
    assert all(case.similarity < 0.99 for case in said.similar)
