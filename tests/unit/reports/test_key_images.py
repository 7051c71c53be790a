"""The Key Object Selection: its content, and its validity for other programs."""

from dataclasses import replace
from io import BytesIO

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import MRImageStorage

from tests.builders.assessments import mixed
from tests.builders.reportings import all_flagged, none_flagged, reporting, with_similar
from triage.domain.assessment import Assessment, Flag, KeyFrame, SourceImage
from triage.reports import document, header, key_images
from triage.reports.reporting import Reporting


def content(source: Reporting) -> bytes:
    product = key_images.build(source)
    assert product is not None
    return product.content


def selection(assessment: Assessment) -> Dataset:
    return dcmread(BytesIO(content(reporting(assessment))))


def images(selected: Dataset) -> list[Dataset]:
    return [item for item in selected.ContentSequence if item.ValueType == "IMAGE"]


def test_its_title_is_of_interest_and_its_images_have_no_name() -> None:
    selected = selection(mixed())
    title = selected.ConceptNameCodeSequence[0]
    assert (title.CodeValue, title.CodingSchemeDesignator) == ("113000", "DCM")
    assert selected.ContentTemplateSequence[0].TemplateIdentifier == "2010"
    assert len(images(selected)) == 2
    assert not any("ConceptNameCodeSequence" in item for item in images(selected))
    assert "PredecessorDocumentsSequence" not in selected  # the IOD has none


def test_it_has_the_frames_of_flagged_findings_once_and_as_evidence() -> None:
    selected = selection(all_flagged())
    named = [i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in images(selected)]
    frames = all_flagged().answers[0].key_frames
    assert named == [frame.image.sop_instance_uid for frame in frames]
    (study,) = selected.CurrentRequestedProcedureEvidenceSequence
    listed = [i for s in study.ReferencedSeriesSequence for i in s.ReferencedSOPSequence]
    assert {i.ReferencedSOPInstanceUID for i in listed} == set(named)
    assert study.StudyInstanceUID == selected.StudyInstanceUID


def test_without_a_flag_or_a_frame_there_is_no_selection() -> None:
    assert key_images.build(reporting(none_flagged())) is None
    bare = tuple(replace(answer, key_frames=()) for answer in all_flagged().answers)
    assert key_images.build(reporting(replace(all_flagged(), answers=bare))) is None


def test_frames_of_a_multi_frame_image_are_separate() -> None:
    base = mixed()
    of = base.used[0].images[0]
    frames = tuple(KeyFrame("cine_sa", replace(of, frame=n), 0.1) for n in (3, 7))
    flagged = replace(base.answers[0], key_frames=frames)
    selected = selection(replace(base, answers=(flagged, *base.answers[1:])))
    numbers = [i.ReferencedSOPSequence[0].ReferencedFrameNumber for i in images(selected)]
    assert numbers == [3, 7]


def test_images_of_another_study_are_never_selected() -> None:
    """They would require a duplicate selection in that study (PS3.3 C.17.6.2.1)."""
    alone = replace(with_similar(), similar=())
    assert images(selection(with_similar())) == images(selection(alone))
    strange = KeyFrame("cine_sa", SourceImage(MRImageStorage, "1.2.3", "1.2"), 0.1)
    flagged = replace(mixed().answers[0], key_frames=(strange,))
    with pytest.raises(ValueError, match=r"1\.2\.3 was assessed, but is not among the evidence"):
        selection(replace(mixed(), answers=(flagged,)))


def test_images_with_invalid_uids_are_not_selected() -> None:
    base = mixed()
    odd = KeyFrame("cine_sa", replace(base.used[0].images[0], sop_instance_uid="1.2.03"), 0.1)
    flagged = replace(base.answers[0], key_frames=(odd, *base.answers[0].key_frames))
    with header.ignore_value_warnings():
        kept = document.key_frames(replace(base, answers=(flagged,)))
    assert odd not in kept
    assert len(kept) == 2


def test_the_description_names_only_the_flagged_findings() -> None:
    selected = selection(mixed())
    (text,) = (i.TextValue for i in selected.ContentSequence if "Key Object" in str(i))
    for answer in mixed().answers:
        assert (answer.finding.name in text) is (answer.flag is Flag.YES)
    assert "RESEARCH USE ONLY" in text
