"""The use case from a ready study to deliveries, with a real ledger, spool and bundle."""

import struct
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage, JPEG2000Lossless

from tests.builders.code_streams import with_decoy
from tests.builders.hearts import instances
from tests.builders.images import SHORT_AXIS, cardiac_study, cine, image, part10
from tests.contract.ledgers import SOURCE, current
from tests.fakes import FakeClock, FakeEncoder, FakeQueue
from tests.unit.pipeline.assessed_studies import STUDY, assessed, run, trained
from triage.config import Settings
from triage.domain.assessment import Flag
from triage.domain.delivery import DeliveryState
from triage.domain.errors import SpoolUnavailable
from triage.domain.reasons import ReasonCode
from triage.domain.study import Event, State
from triage.phantom.habits import Vendor
from triage.pipeline.assess import AWAY_S, Assessor, read_summary
from triage.pipeline.intake import Intake
from triage.ports.encoder import Embedding, Embeddings, Frames
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool

SETTINGS = Settings()


def test_an_assessed_study_has_a_report_for_every_destination_and_sends_them(
    assessor: Assessor, ledger: SqlLedger, queue: FakeQueue
) -> None:
    run(assessor, cardiac_study())
    assert current(ledger, STUDY).state is State.ASSESSED
    deliveries = ledger.list_deliveries(STUDY, 1)
    assert [delivery.destination for delivery in deliveries] == ["pacs", "archive"]
    assert queue.tasks["deliver"] == [(delivery.id,) for delivery in deliveries]


def test_an_untrained_model_evaluates_nothing_but_runs_the_whole_path(assessor: Assessor) -> None:
    said = assessed(assessor, cardiac_study())
    assert {answer.reason for answer in said.answers} == {"model is untrained"}
    assert {answer.flag for answer in said.answers} == {Flag.NOT_EVALUATED}
    scored = [answer.finding.id for answer in said.answers if answer.score is not None]
    assert len(scored) == 6


def test_the_clip_that_the_model_sees_has_the_published_layout(assessor: Assessor) -> None:
    run(assessor, cardiac_study())
    encoder = assessor.model.encoder
    assert isinstance(encoder, FakeEncoder)
    (clip,) = encoder.clips
    assert clip.shape == (60, 224, 224)
    assert clip.dtype == np.uint8


def test_scores_above_their_thresholds_are_flagged(assessor: Assessor) -> None:
    said = assessed(trained(assessor, -1.0), cardiac_study())
    flags = {answer.finding.id: answer.flag for answer in said.answers}
    assert flags.pop("lge") is Flag.NOT_EVALUATED  # the study has no delayed enhancement
    assert set(flags.values()) == {Flag.YES}
    assert said.flag is Flag.YES


class Bright(FakeEncoder):
    """An encoder that embeds every prompt as brightness."""

    def encode_clip(self, frames: Frames) -> Embedding:
        self.clips.append(frames)
        return np.full(self.size, frames.sum() / (60 * 224 * 224 * 255), np.float32)


class Crowded(Bright):
    """An encoder with memory for one clip only."""

    def encode_clips(self, clips: Sequence[Frames]) -> Embeddings:
        found = super().encode_clips(clips)
        self.execution_provider = "the fallback"
        return found


def test_the_report_names_the_provider_of_the_scores_and_not_of_the_key_frames(
    assessor: Assessor,
) -> None:
    crowded = trained(replace(assessor, model=replace(assessor.model, encoder=Crowded())), 0.01)
    said = assessed(crowded, cardiac_study())
    assert any(answer.key_frames for answer in said.answers)
    assert crowded.model.identity.execution_provider == "the fallback"
    assert said.model.execution_provider == FakeEncoder.execution_provider


def bright(assessor: Assessor, threshold: float) -> Assessor:
    return trained(replace(assessor, model=replace(assessor.model, encoder=Bright())), threshold)


def test_a_flag_has_key_frames_and_the_page_shows_them(
    assessor: Assessor, ledger: SqlLedger
) -> None:
    said = assessed(replace(bright(assessor, 0.01), reports=("pdf",)), cardiac_study())
    images = {view.view: view.images for view in said.used}
    flagged = [answer for answer in said.answers if answer.flag is Flag.YES]
    assert len(flagged) == 6
    for answer in flagged:
        assert len(answer.key_frames) == 3
        assert {key.view for key in answer.key_frames} == {"cine_lax", "cine_sa"}
        assert all(key.image in images[key.view] for key in answer.key_frames)
        assert all(key.relevance > 0 for key in answer.key_frames)
    document = dcmread(BytesIO(ledger.list_deliveries(STUDY, 1)[0].product.content))
    drawn = document.EncapsulatedDocument.count(b"/Subtype /Image")
    assert drawn == 2  # of three; phases of the two cines that look the same are stored once


def test_the_key_frames_of_a_finding_are_of_its_own_views(assessor: Assessor) -> None:
    """The last finding is shown by the short axis alone, to which the score owes less."""
    model = bright(assessor, 0.01).model
    *others, last = model.findings.findings
    findings = replace(
        model.findings, findings=(*others, replace(last, views=("cine_sa", "lge_sa")))
    )
    own = replace(assessor, model=replace(model, findings=findings))
    answer = assessed(own, cardiac_study()).answers[-1]
    assert answer.flag is Flag.YES
    assert {key.view for key in answer.key_frames} == {"cine_sa"}


class Contrary(Bright):
    """An encoder to which a brighter clip is less like every prompt."""

    def encode_clip(self, frames: Frames) -> Embedding:
        return np.asarray(1 - super().encode_clip(frames), np.float32)


def test_a_flag_to_which_no_own_image_contributed_says_so(
    assessor: Assessor, ledger: SqlLedger
) -> None:
    contrary = replace(assessor, model=replace(assessor.model, encoder=Contrary()))
    said = assessed(replace(trained(contrary, 0.01), reports=("pdf",)), cardiac_study())
    flagged = [answer for answer in said.answers if answer.flag is Flag.YES]
    assert flagged
    for answer in flagged:
        assert answer.key_frames == ()
        assert answer.why_no_key_frames is ReasonCode.NO_OWN_IMAGE
    assert current(ledger, STUDY).state is State.ASSESSED


@pytest.mark.parametrize(("threshold", "calls"), [(0.9, []), (0.01, [1 + 2 * 2 + 2 * 5])])
def test_key_frames_cost_one_call_of_the_encoder_and_only_for_a_flag(
    assessor: Assessor, threshold: float, calls: list[int]
) -> None:
    """One call with the unchanged clip, each view removed and alone, and five segments of each."""
    asked = []

    class CountingEncoder(Bright):
        def encode_clips(self, clips: Sequence[Frames]) -> Embeddings:
            asked.append(len(clips))
            return super().encode_clips(clips)

    counting = replace(assessor, model=replace(assessor.model, encoder=CountingEncoder()))
    assessed(trained(counting, threshold), cardiac_study())
    assert asked == calls


def test_key_frames_can_be_switched_off(assessor: Assessor) -> None:
    said = assessed(replace(bright(assessor, 0.01), key_frames=0), cardiac_study())
    assert said.flag is Flag.YES
    assert not any(answer.key_frames or answer.why_no_key_frames for answer in said.answers)


def test_no_flag_at_all_is_not_the_same_as_not_evaluated(assessor: Assessor) -> None:
    assert assessed(trained(assessor, 1.0), cardiac_study()).flag is Flag.NO


def test_the_same_study_in_another_order_gives_the_same_report(
    assessor: Assessor, ledger: SqlLedger, tmp_path: Path, clock: FakeClock
) -> None:
    run(assessor, cardiac_study())
    other_ledger = SqlLedger.in_folder(tmp_path / "cache", clock)
    other = replace(assessor, ledger=other_ledger, spool=FileSpool(tmp_path / "cache"))
    run(other, cardiac_study()[::-1])
    reports = [ledger_.list_deliveries(STUDY, 1)[0].product for ledger_ in (ledger, other_ledger)]
    other_ledger.close()
    assert reports[0] == reports[1]


@pytest.mark.parametrize(
    ("datasets", "reason"),
    [
        ([image(Modality="CT", SOPClassUID=CTImageStorage)], "no MR images, only CT"),
        ([image(Modality="")], "no MR images, only unknown"),
        ([image(series="brain t1")], "no cardiac view found: not a cine: 1 phase"),
        ([image(series="localizer")], "no cardiac view found: localizer, by its name"),
    ],
)
def test_a_study_without_cardiac_mr_images_is_declined_with_a_reason(
    assessor: Assessor, ledger: SqlLedger, datasets: list[Dataset], reason: str
) -> None:
    run(assessor, datasets)
    declined = current(ledger, STUDY)
    assert declined.state is State.DECLINED
    assert declined.reason.startswith(reason)
    assert not ledger.list_deliveries(STUDY, 1)


def test_a_view_that_does_not_decode_is_missing_and_the_rest_goes_on(assessor: Assessor) -> None:
    study = cardiac_study()
    for dataset in study:
        if dataset.SeriesDescription == "cine 4ch":
            dataset.BitsStored = 40
    said = assessed(assessor, study)
    assert [used.view for used in said.used] == ["cine_sa"]
    missing = {view.view: view.reason for view in said.missing}
    assert missing["cine_lax"].startswith("pixel data does not decode")


def test_an_image_that_does_not_decode_is_left_out_and_counted(
    assessor: Assessor, ledger: SqlLedger
) -> None:
    study = cardiac_study()
    four_chamber = [dataset for dataset in study if dataset.SeriesDescription == "cine 4ch"]
    bomb = with_decoy(8192).as_dataset()
    lost = four_chamber[3]
    lost.PixelData, lost.file_meta.TransferSyntaxUID = bomb.PixelData, JPEG2000Lossless
    lost.Rows, lost.Columns = bomb.Rows, bomb.Columns
    said = assessed(assessor, study)
    used = {view.view: len(view.images) for view in said.used}
    assert used["cine_lax"] == len(four_chamber) - 1
    remark = (
        "1 image file(s) left out: the compressed image has another size than the header states"
    )
    assert any(remark in event.reason for event in ledger.history(STUDY))


def test_a_study_without_a_decodable_view_is_declined(
    assessor: Assessor, ledger: SqlLedger
) -> None:
    study = cine("study", "cine_sax", SHORT_AXIS[0], BitsStored=40)
    run(assessor, study)
    assert current(ledger, STUDY).state is State.DECLINED
    assert "no view can be decoded" in current(ledger, STUDY).reason


def test_a_name_in_two_spellings_is_a_remark_in_the_history(
    assessor: Assessor, ledger: SqlLedger
) -> None:
    study = cardiac_study()
    for dataset in study:
        if dataset.SeriesDescription == "cine 4ch":
            dataset.PatientName = "MARKED, IDENTIFIER^^"
    assessed(assessor, study)
    reasons = [event.reason for event in ledger.history(STUDY)]
    assert reasons[-1].endswith("the images spell the patient's name in 2 ways")
    assert "marked" not in " ".join(reasons).casefold()


def test_images_of_two_patients_in_one_study_are_declined(
    assessor: Assessor, ledger: SqlLedger
) -> None:
    study = cardiac_study()
    for dataset in study:
        if dataset.SeriesDescription == "cine 4ch":
            dataset.PatientID = "ANOTHER"
    run(assessor, study)
    declined = current(ledger, STUDY)
    assert declined.state is State.DECLINED
    assert "ANOTHER" not in declined.reason


def test_a_second_patient_in_an_unused_series_declines_the_study(
    assessor: Assessor, ledger: SqlLedger
) -> None:
    """Images outside the used views identify a patient too."""
    run(assessor, [*cardiac_study(), image("study", "localizer", PatientID="ANOTHER")])
    declined = current(ledger, STUDY)
    assert declined.state is State.DECLINED
    assert "images of 2 patients: PatientID differs" in declined.reason
    assert not ledger.list_deliveries(STUDY, 1)


def test_a_late_image_gives_a_report_that_replaces_the_first(
    assessor: Assessor, ledger: SqlLedger, clock: FakeClock
) -> None:
    run(assessor, cardiac_study())
    clock.pass_s(60)
    late = image("study", "localizer", number=99)
    Intake(assessor.spool, ledger).accept(part10(late), SOURCE)
    assert ledger.move(current(ledger, STUDY), Event.JUDGED_COMPLETE, "quiet")
    assessor.assess(STUDY, 2)
    (first, *_), (second, *_) = (ledger.list_deliveries(STUDY, revision) for revision in (1, 2))
    assert len(second.offers) == len(first.offers) == 3
    for before, after in zip(first.offers, second.offers, strict=True):
        document = dcmread(BytesIO(after.content))
        (study,) = document.PredecessorDocumentsSequence
        (reference,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
        assert reference.ReferencedSOPInstanceUID == before.sop_instance_uid
        assert document.InstanceNumber == 2


def test_a_replay_with_the_same_model_makes_no_other_document(
    assessor: Assessor, ledger: SqlLedger, clock: FakeClock
) -> None:
    run(assessor, cardiac_study())
    before = ledger.list_products(STUDY, 1)
    for delivery in ledger.list_deliveries(STUDY, 1):
        ledger.record_failure(delivery.id, "no answer", None)
    clock.pass_s(60)
    assert ledger.move(current(ledger, STUDY), Event.REPLAYED, "asked for")
    assessor.assess(STUDY, 1)
    assert ledger.list_products(STUDY, 1) == before
    assert len(ledger.list_deliveries(STUDY, 1)) == 2


def test_another_model_gives_a_report_that_replaces_the_first(
    assessor: Assessor, ledger: SqlLedger, clock: FakeClock
) -> None:
    run(assessor, cardiac_study())
    for delivery in ledger.list_deliveries(STUDY, 1):
        ledger.record_failure(delivery.id, "no answer", None)
    clock.pass_s(60)
    assert ledger.move(current(ledger, STUDY), Event.REPLAYED, "another model")
    trained(assessor, 1.0).assess(STUDY, 1)
    documents = [dcmread(BytesIO(p.content)) for p in ledger.list_products(STUDY, 1)]
    assert sorted(d.InstanceNumber for d in documents) == [1, 1, 1, 2, 2, 2]
    due = [d for d in ledger.list_deliveries(STUDY, 1) if d.state is DeliveryState.PENDING]
    assert {dcmread(BytesIO(d.product.content)).InstanceNumber for d in due} == {2}


def test_an_enhanced_study_is_assessed_by_its_frames(assessor: Assessor, ledger: SqlLedger) -> None:
    study = instances(Vendor.SIEMENS, enhanced=True)
    intake = Intake(assessor.spool, ledger)
    for dataset in study:
        intake.accept(part10(dataset), SOURCE)
    uid_ = str(study[0].StudyInstanceUID)
    assert ledger.move(current(ledger, uid_), Event.JUDGED_COMPLETE, "quiet")
    assessor.assess(uid_, 1)
    summary = ledger.get_summary(uid_, 1)
    assert summary is not None, current(ledger, uid_).reason
    said = read_summary(summary)
    assert not said.missing
    by_view = {view.view: view for view in said.used}
    assert [image.frame for image in by_view["cine_lax"].images] == list(range(1, 13))
    report = dcmread(BytesIO(ledger.list_deliveries(uid_, 1)[0].product.content))
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert sum(len(item.ReferencedSOPSequence) for item in evidence) == 6


def test_a_task_that_arrives_twice_changes_nothing(assessor: Assessor, ledger: SqlLedger) -> None:
    run(assessor, cardiac_study())
    before = current(ledger, STUDY)
    assessor.assess(STUDY, 1)
    assert current(ledger, STUDY) == before
    assert len(ledger.list_deliveries(STUDY, 1)) == 2


def test_a_task_for_an_unknown_study_changes_nothing(assessor: Assessor, ledger: SqlLedger) -> None:
    assessor.assess("1.2.3", 1)
    assert not ledger.list_studies()


def test_with_the_broker_down_the_deliveries_wait_in_the_ledger(
    assessor: Assessor, ledger: SqlLedger, queue: FakeQueue
) -> None:
    queue.down = True
    run(assessor, cardiac_study())
    assert current(ledger, STUDY).state is State.ASSESSED
    assert len(ledger.list_unsent_deliveries(None)) == 2


def test_a_worker_that_lost_its_lease_changes_nothing(
    assessor: Assessor, ledger: SqlLedger
) -> None:
    class Slow(FakeEncoder):
        def encode_clip(self, frames: np.ndarray) -> np.ndarray:
            assert ledger.move(current(ledger, STUDY), Event.RELEASED, "fell silent")
            return super().encode_clip(frames)

    slow = replace(assessor, model=replace(assessor.model, encoder=Slow()))
    run(slow, cardiac_study())
    assert current(ledger, STUDY).state is State.READY
    assert not ledger.list_deliveries(STUDY, 1)


def test_an_unforeseen_error_releases_the_study_then_sets_it_aside(
    assessor: Assessor, ledger: SqlLedger
) -> None:
    run_into(assessor, ledger)
    for attempt in (1, 2, 3):
        claimed = ledger.claim(STUDY, 1, assessor.holder, 30)
        assert claimed is not None
        assessor.handle_error(STUDY, 1, RuntimeError("a defect"))
        study = current(ledger, STUDY)
        assert study.reason == (
            f"the assessment failed with RuntimeError: a defect, attempt {attempt} of 3"
        )
    assert study.state is State.FAILED


def test_a_study_waits_while_the_object_store_is_unavailable(
    assessor: Assessor,
    ledger: SqlLedger,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(_: str) -> bytes:
        raise SpoolUnavailable("the store does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(assessor.spool, "read", away)
        run(assessor, cardiac_study())
        for _ in range(assessor.max_attempts + 1):
            study = current(ledger, STUDY)
            assert (study.state, study.reason) == (
                State.READY,
                "the images cannot be read now: the store does not answer",
            )
            assert not ledger.list_unsent_studies(None)  # it rests
            clock.pass_s(AWAY_S)
            assert ledger.list_unsent_studies(None)
            assessor.assess(STUDY, 1)
    assessor.assess(STUDY, 1)
    assert current(ledger, STUDY).state is State.ASSESSED


def run_into(assessor: Assessor, ledger: SqlLedger) -> None:
    Intake(assessor.spool, ledger).accept(part10(image()), SOURCE)
    assert ledger.move(current(ledger, STUDY), Event.JUDGED_COMPLETE, "quiet")


def test_a_header_that_does_not_parse_does_not_stop_the_rest_of_its_study(
    assessor: Assessor, ledger: SqlLedger
) -> None:
    content = part10(image("study", "odd"))
    tag = content.index(struct.pack("<HH", 0x0020, 0x0037))
    Intake(assessor.spool, ledger).accept(content[: tag + 4] + b"XX" + content[tag + 6 :], SOURCE)
    said = assessed(assessor, cardiac_study())
    assert len(said.used) == 2
    assert said.unused[-1].reason.startswith("ImageOrientationPatient cannot be read")


def test_a_study_without_a_readable_header_is_declined(
    assessor: Assessor, ledger: SqlLedger
) -> None:
    content = part10(image())
    tag = content.index(struct.pack("<HH", 0x0020, 0x0037))
    Intake(assessor.spool, ledger).accept(content[: tag + 4] + b"XX" + content[tag + 6 :], SOURCE)
    run(assessor, [])
    reason = current(ledger, STUDY).reason
    assert reason.startswith(
        "no instance has a header that can be parsed; 1 instance(s) not used: "
    )
    assert "ImageOrientationPatient cannot be read" in reason


def test_a_declined_study_can_be_replayed(assessor: Assessor, ledger: SqlLedger) -> None:
    run(assessor, [image(Modality="CT", SOPClassUID=CTImageStorage)])
    assert ledger.move(current(ledger, STUDY), Event.REPLAYED, "asked for")
    assert current(ledger, STUDY).state is State.READY
