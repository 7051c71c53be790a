"""Key frames, similar cases and evidence in the Structured Report."""

from dataclasses import replace
from io import BytesIO

import pytest
from pydicom import Dataset, dcmread

from tests.builders.assessments import ROOT, STUDY_UID, evidence, mixed
from tests.builders.content_tree import below, groups, named, value_of, values
from tests.builders.reportings import OTHERS, PRIOR, all_flagged, reporting, with_similar
from triage.domain.assessment import Assessment, Disclosure, Flag, SimilarCase
from triage.reports import codes, structured_report, views


def report_on(assessment: Assessment, similar_cases: Disclosure = Disclosure.OPAQUE) -> Dataset:
    product = structured_report.build(reporting(assessment, similar_cases=similar_cases))
    return dcmread(BytesIO(product.content))


def uids(items: list[Dataset]) -> list[str]:
    return [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in items]


def test_only_a_flagged_finding_is_illustrated_most_influential_frame_first() -> None:
    assessment = mixed()
    shown = assessment.answers[0].key_frames
    answers = tuple(replace(answer, key_frames=shown) for answer in assessment.answers)
    report = report_on(replace(assessment, answers=answers))
    for group, answer in zip(groups(report), answers, strict=True):
        expected = shown if answer.flag is Flag.YES else ()
        found = uids(named(group, codes.BEST_ILLUSTRATION))
        assert found == [frame.image.sop_instance_uid for frame in expected]


def test_the_image_library_has_each_key_frame_once_with_its_view() -> None:
    report = report_on(all_flagged())
    (library,) = named(report, codes.LIBRARY)
    assert library.ContentTemplateSequence[0].TemplateIdentifier == "1600"
    entries = [item for item in below(library) if item.ValueType == "IMAGE"]
    frames = all_flagged().answers[0].key_frames
    assert uids(entries) == [frame.image.sop_instance_uid for frame in frames]
    assert not any("ConceptNameCodeSequence" in entry for entry in entries)
    for entry, frame in zip(entries, frames, strict=True):
        assert {item.RelationshipType for item in entry.ContentSequence} == {"HAS ACQ CONTEXT"}
        assert values(entry, codes.VIEW) == [views.view_title(frame.view)]
        assert values(entry, codes.MODALITY) == ["Magnetic Resonance"]


def test_without_key_frames_there_is_no_image_library() -> None:
    bare = tuple(replace(answer, key_frames=()) for answer in mixed().answers)
    assert named(report_on(replace(mixed(), answers=bare)), codes.LIBRARY) == []


def test_an_earlier_study_of_the_patient_is_referenced_as_other_evidence() -> None:
    report = report_on(with_similar())
    own, *others = named(report, codes.SIMILAR_CASE)
    assert [item.ValueType for item in own.ContentSequence] == ["NUM", "IMAGE"]
    assert uids(named(own, codes.PRIOR)) == [PRIOR.sop_instance_uid]
    (study,) = report.PertinentOtherEvidenceSequence
    assert study.StudyInstanceUID == f"{ROOT}.2"
    listed = [r.ReferencedSOPInstanceUID for r in study.ReferencedSeriesSequence[0][0x00081199]]
    assert listed == [PRIOR.sop_instance_uid]
    assert listed[0] not in str(report.CurrentRequestedProcedureEvidenceSequence)
    assert [value_of(case.ContentSequence[0]) for case in others] == [0.871, 0.866]


@pytest.mark.parametrize(
    ("similar_cases", "types"),
    [(Disclosure.OPAQUE, ["NUM", "TEXT"]), (Disclosure.UIDS, ["NUM", "TEXT", "UIDREF"])],
)
def test_another_patients_case_has_a_key(similar_cases: Disclosure, types: list[str]) -> None:
    _own, *others = named(report_on(with_similar(uids=True), similar_cases), codes.SIMILAR_CASE)
    known = with_similar(uids=True).similar[1:]
    for case, key, similar in zip(others, OTHERS, known, strict=True):
        likeness = [] if similar.likeness is None else ["NUM"]
        assert [item.ValueType for item in case.ContentSequence] == likeness + types
        assert values(case, codes.CASE_KEY) == [key]


def test_similar_cases_are_omitted_if_the_site_disables_them() -> None:
    report = report_on(with_similar(uids=True), Disclosure.NONE)
    assert named(report, codes.SIMILAR_CASES) == []
    assert "PertinentOtherEvidenceSequence" not in report


def test_no_image_is_in_both_evidence_sequences() -> None:
    image = mixed().used[0].images[0]
    same = SimilarCase(0.9, study_uid=f"{ROOT}.2", images=(image, PRIOR))
    report = report_on(replace(mixed(), similar=(same,)))
    (study,) = report.PertinentOtherEvidenceSequence
    assert image.sop_instance_uid not in {
        reference.ReferencedSOPInstanceUID
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    }


def test_a_study_is_not_an_earlier_study_of_itself() -> None:
    itself = SimilarCase(1.0, study_uid=STUDY_UID, images=(PRIOR,))
    with pytest.raises(ValueError, match="is listed as similar to itself"):
        report_on(replace(mixed(), similar=(itself,)))


def test_older_sop_classes_have_the_same_tree_and_evidence() -> None:
    source = reporting(with_similar(), evidence())
    first = structured_report.build(source)
    document = dcmread(BytesIO(first.content))
    for form in structured_report.alternatives(source, first):
        other = dcmread(BytesIO(form.content))
        assert other.ContentSequence == document.ContentSequence
        assert other.PertinentOtherEvidenceSequence == document.PertinentOtherEvidenceSequence
        assert other.SOPClassUID == form.sop_class_uid != document.SOPClassUID
        assert other.SOPInstanceUID == form.sop_instance_uid != document.SOPInstanceUID
