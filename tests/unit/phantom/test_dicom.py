"""Studies of random pixels with the geometry of a protocol, as DICOM of three vendors."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedMRImageStorage

from tests.builders.phantom_protocol import (
    LONG_AXES,
    PHASES,
    SAX_SLICES,
    VENDORS,
    protocol,
    stack,
    study,
    velocity,
)
from tests.processor_time import measure_ratio
from triage.dicom.header import read_header, read_identity
from triage.imaging.series import Image, Selection, select_views
from triage.phantom.dicom import DicomForm, build_datasets, draw_patient, write_files
from triage.phantom.habits import Vendor
from triage.phantom.heart import Pathology, draw_heart
from triage.phantom.stack import PhantomSequence as Kind
from triage.phantom.stack import PhantomSlice, PhantomView

VIEWS = ("cine_lax", "cine_sa", "lge_sa", "lge_lax", "lge_2ch", "lge_3ch")


def select(instances: Sequence[Dataset]) -> Selection:
    images = [Image(str(instance.SOPInstanceUID), instance) for instance in instances]
    return select_views(images, VIEWS)


def text_of(instance: Dataset) -> Iterator[str]:
    for element in instance.iterall():
        if element.VR not in {"OB", "OW", "SQ"}:
            yield str(element.value)


# -- checked by other programs


# -- read by the worker


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("quirks", [False, True], ids=["valid", "quirks"])
def test_selection_finds_every_view(vendor: Vendor, seed: int, *, quirks: bool) -> None:
    patient = draw_patient(draw_heart(seed))
    form = DicomForm(vendor, quirks=quirks)
    instances = list(build_datasets(protocol(4), patient, form, seed))
    selection = select(instances)
    assert not selection.missing
    planes = {chosen.view: placed(chosen.images) for chosen in selection.used}
    stacks = {(acquired.sequence, acquired.view): acquired for acquired in protocol(4)}
    middle = stacks[Kind.CINE, PhantomView.SAX].slices[SAX_SLICES // 2]
    expected = {
        "cine_lax": places(stacks[Kind.CINE, PhantomView.FOUR_CHAMBER].slices) * len(PHASES),
        "cine_sa": places([middle]) * len(PHASES),
        "lge_sa": places(stacks[Kind.LGE, PhantomView.SAX].slices),
        "lge_lax": places(stacks[Kind.LGE, PhantomView.FOUR_CHAMBER].slices),
        "lge_2ch": places(stacks[Kind.LGE, PhantomView.TWO_CHAMBER].slices),
        "lge_3ch": places(stacks[Kind.LGE, PhantomView.THREE_CHAMBER].slices),
    }
    for view, wanted in expected.items():
        assert np.allclose(sorted(planes[view]), sorted(wanted), atol=1e-3), view


def placed(images: Sequence[Image]) -> list[list[float]]:
    return [[float(x) for x in image.header.ImagePositionPatient] for image in images]


def places(slices: Sequence[PhantomSlice]) -> list[list[float]]:
    return [part.position.tolist() for part in slices]


#: The accepted reasons for each sequence that no view uses.
REASONS = {
    Kind.LOCALIZER: {"localizer"},
    Kind.TI_SCOUT: {"TI scout"},
    Kind.T1_MAP: {"T1 map"},
    Kind.T2_MAP: {"T2 map"},
    Kind.PERFUSION: {"perfusion"},
    Kind.FLOW: {"flow", "phase images"},
    Kind.T2W: {"T2-weighted or black blood"},
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("kind", REASONS)
def test_selection_has_a_reason_for_every_unused_series(
    vendor: Vendor, seed: int, kind: Kind
) -> None:
    stacks = [acquired for acquired in protocol(4) if acquired.sequence in {kind, Kind.CINE}]
    without = [acquired for acquired in stacks if acquired.sequence is Kind.CINE]
    patient = draw_patient(draw_heart(seed))
    cines = {
        str(instance.SeriesDescription).strip()
        for instance in build_datasets(without, patient, DicomForm(vendor), seed)
    }
    unused = select(list(build_datasets(stacks, patient, DicomForm(vendor), seed))).unused
    others = [series for series in unused if series.series_description not in cines]
    assert others
    for series in others:
        assert any(series.reason.startswith(reason) for reason in REASONS[kind]), series


def test_every_instance_is_identified(tmp_path: Path) -> None:
    heart = draw_heart(3)
    for vendor in VENDORS:
        for path in write_files(tmp_path / vendor, protocol(4), heart, DicomForm(vendor), "None."):
            part10 = path.read_bytes()
            assert read_identity(part10).modality == "MR"
            assert read_header(part10).PatientName == "Phantom^0000003"


# -- habits


def series_of(instances: Sequence[Dataset]) -> dict[str, list[Dataset]]:
    series: dict[str, list[Dataset]] = {}
    for instance in instances:
        series.setdefault(instance.SeriesInstanceUID, []).append(instance)
    return series


def cine_series(vendor: Vendor) -> list[int]:
    sax = [
        acquired
        for acquired in protocol(4)
        if acquired.sequence is Kind.CINE and acquired.view is PhantomView.SAX
    ]
    instances = list(build_datasets(sax, draw_patient(draw_heart(1)), DicomForm(vendor), 1))
    return [len(group) for group in series_of(instances).values()]


def test_siemens_writes_one_series_per_cine_slice() -> None:
    assert cine_series(Vendor.SIEMENS) == [len(PHASES)] * SAX_SLICES
    assert cine_series(Vendor.GE) == [len(PHASES) * SAX_SLICES]
    assert cine_series(Vendor.PHILIPS) == [len(PHASES) * SAX_SLICES]


def test_philips_mixes_three_kinds_of_flow_image_in_one_series() -> None:
    flow = [acquired for acquired in protocol() if acquired.sequence is Kind.FLOW]
    instances = list(
        build_datasets(flow, draw_patient(draw_heart(1)), DicomForm(Vendor.PHILIPS), 1)
    )
    assert len(series_of(instances)) == 1
    kinds = Counter(str(instance.ImageType[2]) for instance in instances)
    assert kinds == dict.fromkeys(("M_FFE", "M_PCA", "VELOCITY MAP"), len(PHASES))
    assert Counter(float(instance.TriggerTime) for instance in instances) == dict.fromkeys(
        PHASES, 3
    )


def test_quirks_are_habits_that_the_standard_forbids() -> None:
    cines = [acquired for acquired in protocol() if acquired.sequence is Kind.CINE]
    patient = draw_patient(draw_heart(1))
    proper = next(build_datasets(cines, patient, DicomForm(Vendor.GE), 1))
    quirky = next(build_datasets(cines, patient, DicomForm(Vendor.GE, quirks=True), 1))
    assert "InversionTime" not in proper
    assert quirky.InversionTime == 0
    assert "BodyPartExamined" not in quirky
    assert "SequenceName" not in quirky


def test_localizers_are_not_gated() -> None:
    for vendor in VENDORS:
        first = study(vendor)[0]
        assert "TriggerTime" not in first
        assert first.get("CardiacNumberOfImages") in {None, 0}


def test_a_velocity_of_zero_is_preserved() -> None:
    flow = velocity(stack(Kind.FLOW, PhantomView.AXIAL, times_ms=PHASES))
    for vendor in VENDORS:
        image = next(build_datasets([flow], draw_patient(draw_heart(1)), DicomForm(vendor), 1))
        dtype = np.int16 if image.PixelRepresentation else np.uint16
        stored = np.frombuffer(image.PixelData, dtype).astype(float)
        meant = stored * float(image.get("RescaleSlope", 1)) + float(
            image.get("RescaleIntercept", 0)
        )
        drawn = flow.slices[0].pixels[0].ravel().astype(float) - 2048
        assert np.corrcoef(meant, drawn)[0, 1] > 0.999
        assert np.array_equal(np.sign(meant), np.sign(drawn))


@pytest.mark.parametrize("vendor", VENDORS)
def test_enhanced_frames_follow_their_dimensions(vendor: Vendor) -> None:
    instances = study(vendor, enhanced=True)
    assert len(series_of(instances)) == len(instances)
    for instance in instances:
        assert instance.SOPClassUID == EnhancedMRImageStorage
        frames = instance.PerFrameFunctionalGroupsSequence
        assert len(frames) == instance.NumberOfFrames
        assert (
            len(instance.PixelData)
            == 2 * instance.NumberOfFrames * instance.Rows * instance.Columns
        )
        indices = [tuple(f.FrameContentSequence[0].DimensionIndexValues) for f in frames]
        assert len(set(indices)) == len(frames)
    cine = next(instance for instance in instances if instance.ImageType[2] == "CINE")
    delays = [
        float(frame.CardiacSynchronizationSequence[0].NominalCardiacTriggerDelayTime)
        for frame in cine.PerFrameFunctionalGroupsSequence
    ]
    assert delays == list(PHASES)


# -- seeds, patients, truth


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    heart, stacks = draw_heart(5), protocol(4)
    first = write_files(tmp_path / "a", stacks, heart, DicomForm(Vendor.GE), "None.")
    second = write_files(tmp_path / "b", stacks, heart, DicomForm(Vendor.GE), "None.")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_uids_are_valid_and_unique() -> None:
    seen: set[str] = set()
    for vendor in VENDORS:
        for seed in (1, 2):
            instances = study(vendor, seed)
            uids = {str(instance.SOPInstanceUID) for instance in instances}
            assert len(uids) == len(instances)
            assert not uids & seen
            assert all(instance.SOPInstanceUID.is_valid for instance in instances)
            seen |= uids
            assert len({instance.StudyInstanceUID for instance in instances}) == 1


def test_patients_fit_their_body_surface() -> None:
    for seed in range(100):
        heart = draw_heart(seed)
        patient = draw_patient(heart)
        assert 1.45 < patient.size_m < 2.05
        surface_m2 = (patient.size_m * patient.weight_kg / 36) ** 0.5
        assert surface_m2 == pytest.approx(heart.body_surface_m2, rel=0.01)
        assert 17 < patient.weight_kg / patient.size_m**2 < 45


def test_series_are_in_order_of_time() -> None:
    times = [instance.SeriesDate + instance.SeriesTime for instance in study(Vendor.SIEMENS)]
    assert all(before <= after for before, after in pairwise(times))


WORDS = ["dilat", "hypertroph", "amyloid", "isch", "scar", "infarct", "dysfunct", "path", "truth"]


@pytest.mark.parametrize("enhanced", [False, True], ids=["classic", "enhanced"])
def test_no_header_or_file_name_reveals_the_truth(tmp_path: Path, *, enhanced: bool) -> None:
    heart = draw_heart(7, (Pathology.ISCHAEMIC, Pathology.AORTA))
    for vendor in VENDORS:
        folder = tmp_path / f"{vendor} {enhanced}"
        for path in write_files(
            folder, protocol(4), heart, DicomForm(vendor, enhanced), "LAD scar."
        ):
            text = " ".join([path.name, *text_of(dcmread(path))]).lower()
            assert not [word for word in WORDS if word in text]


def test_headers_do_not_depend_on_the_pathology() -> None:
    """The same seed draws the same patient for every heart."""
    patients = {draw_patient(draw_heart(9, (pathology,))) for pathology in Pathology}
    assert len(patients) == 1


def test_truth_and_impression_are_written_to_separate_files(tmp_path: Path) -> None:
    heart = draw_heart(7, (Pathology.ISCHAEMIC,))
    write_files(tmp_path, protocol(4), heart, DicomForm(Vendor.SIEMENS), "LAD scar.")
    assert (tmp_path / "impression.txt").read_text() == "LAD scar.\n"
    truth = json.loads((tmp_path / "truth.json").read_text())
    assert truth["findings"]["lge"] is True
    assert truth["pathologies"] == ["ischaemic scar"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "images",
        "impression.txt",
        "truth.json",
    ]


def test_a_study_is_written_in_time(tmp_path: Path) -> None:
    heart = draw_heart(1)
    phases = [40.0 * phase for phase in range(25)]
    full = [
        stack(Kind.CINE, PhantomView.SAX, 10, phases, 192),
        *(stack(Kind.CINE, view, 1, phases, 192) for view in LONG_AXES),
        stack(Kind.LGE, PhantomView.SAX, 10, side=192),
        *(stack(Kind.LGE, view, side=192) for view in LONG_AXES),
    ]
    folders = map(str, itertools.count())

    def write() -> None:
        paths = write_files(tmp_path / next(folders), full, heart, DicomForm(Vendor.GE), "None.")
        assert len(paths) == 338

    assert measure_ratio(write, repeats=3) < 18  # times the fixed piece of work; 11.5 when idle


def test_a_position_that_is_not_a_number_is_refused() -> None:
    whole = stack(Kind.LOCALIZER, PhantomView.AXIAL)
    lost = replace(whole, slices=(replace(whole.slices[0], position=np.full(3, np.nan)),))
    with pytest.raises(ValueError, match="nan"):
        list(build_datasets([lost], draw_patient(draw_heart(1)), DicomForm(Vendor.GE), 1))
