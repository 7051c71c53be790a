"""The content tree has all results of the assessment, and no other."""

from dataclasses import replace
from io import BytesIO
from math import inf, nan
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from tests.builders.assessments import ANSWERS, EQUIPMENT, mixed, untrained
from tests.builders.content_tree import below, groups, named, value_of, values
from tests.builders.reportings import decided, reporting, unfamiliar
from triage.domain.assessment import Answer, Assessment, Flag, Presence, ScoreKind
from triage.domain.finding import Examples
from triage.reports import codes, structured_report, views


def report_on(assessment: Assessment) -> Dataset:
    return dcmread(BytesIO(structured_report.build(reporting(assessment)).content))


def with_answer(**changes: Any) -> Assessment:
    return replace(mixed(), answers=(replace(ANSWERS[0], **changes),))


def overall(report: Dataset) -> Dataset:
    return named(report, codes.EVALUATIONS)[0]


def test_the_document_is_marked_unverified() -> None:
    report = report_on(mixed())
    assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34"
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert report.CompletionFlagDescription == "AI output, unverified, research use only"
    assert report.SeriesDescription == "AI triage (RESEARCH USE ONLY)"
    assert report.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == codes.SCHEME
    assert "VerifyingObserverSequence" not in report


def test_every_container_is_separate() -> None:
    report = report_on(mixed())
    containers = [report, *(item for item in below(report) if item.ValueType == "CONTAINER")]
    assert len(containers) == 6 + len(ANSWERS)
    assert {item.ContinuityOfContent for item in containers} == {"SEPARATE"}


def test_the_verdict_is_the_first_content_and_is_the_one_of_the_evaluations() -> None:
    report = report_on(unfamiliar())
    contents = [item for item in report.ContentSequence if item.RelationshipType == "CONTAINS"]
    (verdict,) = named(report, codes.TRIAGE)
    assert contents[0] == verdict
    for concept in (codes.FLAG, codes.PRIORITY, codes.NOTE, codes.INTENDED_USE):
        assert values(verdict, concept) == values(overall(report), concept) != []
    assert [value_of(item) for item in verdict.ContentSequence[:2]] == [
        "Not Evaluated",
        "Routine (order unchanged)",
    ]
    assert values(verdict, codes.INTENDED_USE)[0].startswith("RESEARCH USE ONLY")


@pytest.mark.parametrize("assessment", [mixed(), untrained()], ids=["mixed", "untrained"])
def test_the_rows_of_the_template_are_in_its_order(assessment: Assessment) -> None:
    rows = (codes.LIBRARY, codes.MEASUREMENTS, codes.EVALUATIONS)
    report = report_on(assessment)
    found = [item.ConceptNameCodeSequence[0].CodeValue for item in report.ContentSequence]
    ordered = [row.value for row in rows if row.value in found]
    assert [value for value in found if value in ordered] == ordered


def test_the_device_is_the_same_in_all_attributes() -> None:
    report = report_on(mixed())
    equipment = report.ContributingEquipmentSequence[0]
    assert values(report, codes.OBSERVER_TYPE) == ["Device"]
    assert values(report, codes.DEVICE_UID) == [EQUIPMENT.device_uid] == [equipment.DeviceUID]
    assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    assert (equipment.ManufacturerModelName, equipment.SoftwareVersions) == ("CMR-CLIP", "1.0.0")
    assert (report.DeviceSerialNumber, report.SoftwareVersions) == ("site-0001", "0.1.0")


def test_the_algorithm_is_described_in_full() -> None:
    assessment = mixed()
    report = report_on(assessment)
    assert values(report, codes.ALGORITHM_NAME) == ["CMR-CLIP"]
    assert values(report, codes.ALGORITHM_VERSION) == ["1.0.0"]
    assert values(report, codes.ALGORITHM_PARAMETERS) == [
        f"model_sha256={assessment.model.digest}",
        f"findings_sha256={assessment.findings_digest}",
        f"inputs_sha256={assessment.inputs_digest}",
        "execution_provider=CPUExecutionProvider",
        "trained=yes",
        "AI-SCORE=mean cosine similarity of images and prompts, -1 to 1, not a probability",
    ]


def test_each_finding_has_a_group_with_every_answer() -> None:
    for group, answer in zip(groups(report_on(mixed())), ANSWERS, strict=True):
        assert values(group, codes.TRACKING_ID) == [answer.finding.id]
        assert values(group, codes.ASKED) == [answer.finding.name]
        assert values(group, codes.FLAG) == [answer.flag.value]
        presence = values(group, codes.finding_concept(answer.finding))
        assert presence[-1] == codes.PRESENCES[answer.presence].meaning
        assert values(group, codes.PROMPT) == list(answer.finding.prompts)
        assert values(group, codes.SCORE) == ([] if answer.score is None else [answer.score])
        thresholds = [] if answer.threshold is None else [answer.threshold]
        assert values(group, codes.THRESHOLD) == thresholds
        site = answer.finding.site
        assert values(group, codes.SITE) == ([site.meaning] if site else [])


def test_the_reason_has_the_concept_for_its_flag() -> None:
    for group, answer in zip(groups(report_on(mixed())), ANSWERS, strict=True):
        evaluated = answer.flag is not Flag.NOT_EVALUATED
        reason = views.spell_out_views(answer.reason)
        assert values(group, codes.WHY) == ([reason] if evaluated else [])
        assert values(group, codes.WHY_NOT_EVALUATED) == ([] if evaluated else [reason])


def test_only_a_finding_that_is_ruled_in_has_the_item_that_importers_read() -> None:
    found = [values(group, codes.FINDING) for group in groups(report_on(decided()))]
    assert found == [["Depression of left ventricular systolic function"], [], [], []]
    assert values(report_on(mixed()), codes.FINDING) == []


def test_each_view_of_a_finding_has_one_source_image() -> None:
    counts = [len(named(group, codes.SOURCE)) for group in groups(report_on(mixed()))]
    assert counts == [2, 2, 1, 0]
    source = named(groups(report_on(mixed()))[2], codes.SOURCE)[0].ReferencedSOPSequence[0]
    assert source.ReferencedSOPInstanceUID == mixed().used[0].images[0].sop_instance_uid


def test_frames_of_a_multi_frame_image_are_referenced() -> None:
    view = mixed().used[0]
    frames = tuple(replace(view.images[0], frame=number) for number in (1, 2, 3))
    assessment = replace(
        mixed(), used=(replace(view, images=frames),), answers=(replace(ANSWERS[2]),)
    )
    source = named(report_on(assessment), codes.SOURCE)[0].ReferencedSOPSequence[0]
    assert list(source.ReferencedFrameNumber) == [1, 2, 3]


def test_the_evaluations_list_missing_views_and_unused_images() -> None:
    report = overall(report_on(mixed()))
    assert values(report, codes.FLAG) == ["Yes"]
    assert values(report, codes.PRIORITY) == ["Expedite"]
    assert values(report, codes.INTENDED_USE)[0].startswith("RESEARCH USE ONLY")
    assert values(report, codes.INTENDED_USE)[0].endswith(mixed().model.intended_use)
    assert values(report, codes.UNANSWERED) == ["1 of 4: Late gadolinium enhancement"]
    why = "bSSFP cine by its contrast, the view by its orientation"
    assert values(report, codes.VIEW_USED) == [
        f"Cine short axis: cine_trufi_retro_SAX; {why}",
        f"Cine long axis: cine_trufi_retro_4CH; {why}",
    ]
    assert values(report, codes.VIEW_MISSING) == [
        "Late enhancement short axis: no series shows late enhancement in short axis",
        "Late enhancement four-chamber: no series shows late enhancement in long axis",
    ]
    assert values(report, codes.UNUSED) == [
        "1 image in 1 stack: no view of this model",
        "27 images in 2 stacks: not a cine",
    ]


def test_an_untrained_model_evaluates_no_finding() -> None:
    report = report_on(untrained())
    assert set(values(report, codes.FLAG)) == {"Not Evaluated"}
    assert values(overall(report), codes.PRIORITY) == ["Routine (order unchanged)"]
    assert values(report, codes.FINDING) == []
    assert values(report, codes.WHY_NOT_EVALUATED) == ["model is untrained"] * 3
    assert "trained=no" in values(report, codes.ALGORITHM_PARAMETERS)


def test_without_unanswered_findings_there_is_no_list_of_them() -> None:
    report = report_on(replace(mixed(), answers=ANSWERS[:3]))
    assert values(report, codes.UNANSWERED) == []


def test_single_precision_is_written_without_rounding_noise() -> None:
    report = report_on(with_answer(score=np.float32(0.341), threshold=np.float32(0.28)))
    assert values(report, codes.SCORE) == [0.341]
    assert values(report, codes.THRESHOLD) == [0.28]
    assert named(report, codes.SCORE)[0].MeasuredValueSequence[0].NumericValue == "0.341"


def test_a_score_from_examples_has_its_own_concept_and_names_no_study() -> None:
    examples = Examples(present=("2.25.77001", "2.25.77002"), absent=("2.25.77003",))
    finding = replace(ANSWERS[0].finding, prompts=(), examples=examples)
    fit = {"finding": finding, "kind": ScoreKind.DISTANCES, "examples": 3}
    report = report_on(with_answer(score=0.5, threshold=0.0, fitted="f" * 64, **fit))
    assert values(report, codes.SCORE) == []
    assert values(report, codes.DISTANCE_SCORE) == [0.5]
    (examples,) = values(report, codes.EXAMPLES)
    source = "2 studies with the finding, 1 without"
    assert examples == f"fitted from 3 examples: {source}; fit_sha256={'f' * 64}"
    assert "2.25.7700" not in str(report)
    other = report_on(with_answer(score=0.5, threshold=0.0, fitted="e" * 64, **fit))
    assert other.SOPInstanceUID != report.SOPInstanceUID


def test_a_missing_number_is_not_written() -> None:
    unknown = {"flag": Flag.NOT_EVALUATED, "presence": Presence.NOT_EVALUATED}
    report = report_on(with_answer(score=nan, threshold=inf, **unknown))
    assert values(report, codes.SCORE) == values(report, codes.THRESHOLD) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"score": nan},
        {"score": None},
        {"flag": Flag.NOT_EVALUATED},
        {"flag": Flag.NO, "presence": Presence.NOT_EVALUATED},
        {"flag": Flag.NOT_EVALUATED, "presence": Presence.ABSENT},
        {"views": ("lge_sa",)},
    ],
)
def test_an_answer_that_contradicts_itself_is_rejected(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="lv_dysfunction"):
        report_on(with_answer(**changes))


def test_text_is_one_line_and_never_empty() -> None:
    hostile = "line\r\none\x00\x1b[31m <script>alert('x')</script>\t\\end"
    answer: Answer = replace(ANSWERS[0], reason=hostile)
    view = replace(mixed().used[0], series_description="", why=" ")
    used = (view, mixed().used[1])
    report = report_on(replace(mixed(), answers=(answer,), used=used))
    assert values(report, codes.WHY) == ["line one [31m <script>alert('x')</script> \\end"]
    assert values(report, codes.VIEW_USED)[0].startswith(
        "Cine short axis: series without description;"
    )
    silent = report_on(with_answer(reason=""))
    assert values(silent, codes.WHY) == ["(not stated)"]
