"""Every awkward file, alone and within a good study, has a named outcome.

`OUTCOMES` lists the outcome of each: refused at the door (quarantined), or the reason for which
an image of the study is not used. No exception escapes, nothing is written outside the spool, and
the good study's frames stay what they are.
"""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from tests.builders.hearts import VIEWS
from tests.builders.images import cardiac_study, part10, uid
from tests.contract.ledgers import SOURCE, current
from tests.fakes import FakeEncoder
from tests.peers import real_data
from triage.dicom.header import read_header, read_identity
from triage.dicom.patient import PATIENT
from triage.domain.errors import DamagedInstance
from triage.domain.study import Event, State
from triage.imaging.clip import find_heart_centre, join_views, prepare_view
from triage.imaging.series import Image, select_views
from triage.pipeline.assess import Assessor, read_summary
from triage.pipeline.intake import Intake
from triage.store.ledger import SqlLedger

#: Files of derived_variants with another outcome than "not a cine: 1 phase".
OUTCOMES = {
    "bad_no_transfer_syntax": "refused: TransferSyntaxUID is missing",
    "bad_png_named_dcm": "refused: the data set does not parse",
    "bad_rows_huge": "refused: the pixel data is shorter than the header states",
    "bad_rows_mismatch": "refused: the pixel data is shorter than the header states",
    "bad_rows_zero": "refused: the header describes an empty image",
    "bad_text_named_dcm": "refused: the data set does not parse",
    "enhanced_mr_bad_framecount": "refused: the pixel data is shorter than the header states",
    "no_pixeldata": "refused: an image without pixel data",
    "no_series_uid": "refused: SeriesInstanceUID is missing",
    "no_sop_uid": "refused: SOPInstanceUID is missing",
    "no_study_uid": "refused: StudyInstanceUID is missing",
    "ok_no_preamble": "refused: the data set does not parse",
    "uid_too_long": "refused: SOPInstanceUID is not a UID",
    "bad_iop_parallel": "unused: its header states no usable position and orientation",
    "no_ipp": "unused: its header states no usable position and orientation",
    "no_modality": "unused: modality unknown, not MR",
    "sc_not_mr": "unused: modality OT, not MR",
}


def names() -> list[str]:
    return sorted(path.stem for path in real_data("derived_variants").glob("*.dcm"))


def content_of(name: str) -> bytes:
    return (real_data("derived_variants") / f"{name}.dcm").read_bytes()


def outcome(assessor: Assessor, ledger: SqlLedger, content: bytes, good: list[Dataset]) -> str:
    """Send a file, after the good images of its study, and return its outcome."""
    intake = Intake(assessor.spool, ledger)
    for image in good:
        intake.accept(part10(image), SOURCE)
    try:
        study_uid = read_identity(content).study_uid
        intake.accept(content, SOURCE)
    except DamagedInstance as reason:
        if not good:
            return f"refused: {reason}"
        study_uid, refusal = str(good[0].StudyInstanceUID), f"refused: {reason}"
    else:
        refusal = ""
    assert ledger.move(current(ledger, study_uid), Event.JUDGED_COMPLETE, "quiet")
    assessor.assess(study_uid, 1)
    study = current(ledger, study_uid)
    if not good:
        assert study.state is State.DECLINED
        return f"declined: {study.reason}"
    assert study.state is State.ASSESSED, study.reason
    summary = ledger.get_summary(study_uid, 1)
    assert summary is not None
    said = read_summary(summary)
    assert {view.view for view in said.used} == {"cine_lax", "cine_sa"}
    if refusal:
        return refusal
    own = read_header(content).SOPInstanceUID
    assert own not in {image.sop_instance_uid for used in said.used for image in used.images}
    series_uid = str(read_header(content).SeriesInstanceUID)
    (left,) = (stack for stack in said.unused if stack.series_uid == series_uid)
    return f"unused: {left.reason}"


def good_study_of(content: bytes) -> list[Dataset]:
    """Return a good study with the study UID and the patient of an awkward file, if it has any."""
    study = cardiac_study()
    try:
        header = read_header(content)
        identity = read_identity(content)
    except DamagedInstance:
        return study
    for image in study:
        image.StudyInstanceUID = identity.study_uid
        image.SpecificCharacterSet = header.get("SpecificCharacterSet", "ISO_IR 100")
        for keyword in PATIENT:
            if keyword in header:
                image[keyword] = header[keyword]
            elif keyword in image:
                del image[keyword]
    return study


def expected(name: str) -> str:
    return OUTCOMES.get(name, "unused: not a cine: 1 phase")


def test_every_awkward_file_alone_has_its_outcome(assessor: Assessor, ledger: SqlLedger) -> None:
    for name in names():
        said = expected(name)
        content = content_of(name)
        with suppress(DamagedInstance):
            content = with_own_study(content, name)
        found = outcome(assessor, ledger, content, [])
        if said.startswith("refused"):
            assert found.startswith(said), name
        else:
            assert found.startswith("declined: no"), (name, found)
            assert said.removeprefix("unused: ") in found or "no MR images" in found, (name, found)


def with_own_study(content: bytes, name: str) -> bytes:
    """Give a file a study of its own, by a Study UID of the same length."""
    study_uid = read_identity(content).study_uid
    other = uid(name).replace(".", "")[: len(study_uid) - 4]
    fresh = ("1.9." + other)[: len(study_uid)].ljust(len(study_uid), "1")
    return content.replace(study_uid.encode(), fresh.encode())


@pytest.mark.parametrize("index", range(41))
def test_every_awkward_file_within_a_good_study_has_its_outcome(
    assessor: Assessor, ledger: SqlLedger, tmp_path: Path, index: int
) -> None:
    name = names()[index]
    content = content_of(name)
    found = outcome(assessor, ledger, content, good_study_of(content))
    assert found.startswith(expected(name)), name
    encoder = assessor.model.encoder
    assert isinstance(encoder, FakeEncoder)
    assert np.array_equal(encoder.clips[-1], clip_of_the_good_study(assessor))
    written = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert all(tmp_path in path.resolve().parents for path in written)


GOOD: list[np.ndarray] = []


def clip_of_the_good_study(assessor: Assessor) -> np.ndarray:
    if not GOOD:
        files = {str(n): part10(each) for n, each in enumerate(cardiac_study())}
        used = select_views([Image(n, read_header(c)) for n, c in files.items()], VIEWS).used
        form, heart = assessor.model.bundle.manifest.clip, find_heart_centre(used)
        views = {view.view: prepare_view(view, form, heart, files.__getitem__) for view in used}
        GOOD.append(join_views(views, form))
    return GOOD[0]


def test_upstream_files_have_outcomes_too(assessor: Assessor, ledger: SqlLedger) -> None:
    for path in sorted(real_data("awkward_upstream").rglob("*.dcm")):
        content = path.read_bytes()
        with suppress(DamagedInstance):
            if ledger.get_study(read_identity(content).study_uid, 1) is not None:
                continue  # another file of a study that was assessed
        found = outcome(assessor, ledger, content, [])
        assert found.startswith(("declined: no", "refused: ")), path.name


@pytest.mark.parametrize("hostile", ["../../etc/passwd", "/tmp/x", "1.2/../../3", "1.2\x003", ".."])  # noqa: S108
def test_uids_that_name_paths_are_refused(hostile: str) -> None:
    study = cardiac_study()
    study[0].SeriesInstanceUID = hostile
    with pytest.raises(DamagedInstance, match="is not a UID"):
        read_identity(part10(study[0]))
