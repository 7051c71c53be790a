"""The pictures of report pages in the documents, made by the worker itself from drawn hearts.

`python -m tests.builders.page_pictures` writes them to deploy/pictures. Each study goes through
intake, assessment and report with the demo bundle.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread

from tests.builders.images import part10
from tests.contract.ledgers import SOURCE, current
from tests.fakes import FakeClock, FakeQueue
from triage.config import Settings
from triage.config.site import ModelSettings
from triage.domain.study import Event
from triage.phantom.archive import draw_examination
from triage.phantom.dicom import DicomForm, build_datasets, draw_patient
from triage.phantom.heart import (
    LV_EDVI_MAX,
    RV_EDVI_MAX,
    SEGMENTS,
    SEPTAL,
    TERRITORIES,
    Enhancement,
    Heart,
    Pathology,
    Scar,
    draw_heart,
)
from triage.phantom.stack import PhantomSequence, PhantomView
from triage.phantom.study import MODEL_VIEWS, StudyPart, acquire_stacks
from triage.pipeline.assess import Assessor
from triage.pipeline.intake import Intake
from triage.reports import pdf, secondary_capture
from triage.runtime.model import DEMO_BUNDLE, DEMO_FINDINGS, build_equipment, open_model
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool

FOLDER = Path(__file__).parents[2] / "deploy" / "pictures"
SETTINGS = Settings(model=ModelSettings(bundle=DEMO_BUNDLE, threads=1), findings=DEMO_FINDINGS)
COLOURS = 128  #: of the palette of a picture
MADE = datetime(2026, 1, 5, 9, 30, tzinfo=UTC).timestamp()  #: when a picture says it was made
MOST_BYTES = 150_000
CINES = tuple(part for part in MODEL_VIEWS if part.sequence is PhantomSequence.CINE)
LATE = tuple(part for part in MODEL_VIEWS if part.sequence is PhantomSequence.LGE)
Arrival = Sequence[Dataset]  #: the images of a study that arrive before it is judged complete


@dataclass(frozen=True)
class PagePicture:
    """A picture of a page, by the images that arrive for each revision of its study."""

    shows: str
    arrivals: Callable[[], Sequence[Arrival]]


def seven_flags() -> Sequence[Arrival]:
    """A heart with every finding, imaged without two views of late enhancement."""
    heart = draw_heart(1, (Pathology.DILATED,))
    wall = np.full(SEGMENTS, 8.5)
    wall[list(SEPTAL)] = 17.0
    wall[[0, 3, 6, 9]] = 13.0  # neighbours of the septum
    everything = replace(
        heart,
        lv_edv_ml=heart.body_surface_m2 * LV_EDVI_MAX[heart.sex] * 1.71,
        lv_ef=0.32,
        wall_mm=wall,
        rv_edv_ml=heart.body_surface_m2 * RV_EDVI_MAX[heart.sex] * 1.5,
        rv_ef=0.35,
        septal_bounce=0.8,
        root_mm=56.0,
        ascending_mm=60.0,
        descending_mm=45.0,
        scars=(Scar(Enhancement.SUBENDOCARDIAL, TERRITORIES["LAD"], 0.6, "LAD"),),
    )
    late = (PhantomView.SAX, PhantomView.FOUR_CHAMBER)
    return [take(everything, [*CINES, *(part for part in LATE if part.view in late)])]


def no_flag() -> Sequence[Arrival]:
    """A heart without a finding, whose aorta is at the upper limit."""
    return [take(draw_heart(13, (Pathology.NORMAL,)))]


def two_flags() -> Sequence[Arrival]:
    """A heart with a scar and reduced function."""
    return [take(draw_heart(5, (Pathology.ISCHAEMIC,)))]


def unlike() -> Sequence[Arrival]:
    """A heart whose images are negatives, as after a wrong conversion."""
    study = take(draw_heart(3, (Pathology.NORMAL,)))
    for image in study:
        pixels = np.frombuffer(image.PixelData, np.uint16)
        image.PixelData = (pixels.max() - pixels).astype(np.uint16).tobytes()
    return [study]


def one_view() -> Sequence[Arrival]:
    """A heart of which only the short-axis cine was acquired."""
    short_axis = [part for part in CINES if part.view is PhantomView.SAX]
    return [take(draw_heart(5, (Pathology.ISCHAEMIC,)), short_axis)]


def revision_2() -> Sequence[Arrival]:
    """A heart whose late enhancement arrived after the first report."""
    study = take(draw_heart(9, (Pathology.NON_ISCHAEMIC,)))
    cines, late = (
        [image for image in study if ("InversionTime" in image) is is_late]
        for is_late in (False, True)
    )
    return [cines, late]


PICTURES: Mapping[str, PagePicture] = {
    "report": PagePicture("The report page of a synthetic heart", two_flags),
    "seven_flags": PagePicture("Seven findings flagged, two views missing", seven_flags),
    "no_flag": PagePicture("No finding flagged", no_flag),
    "unlike": PagePicture("A study unlike those of the training", unlike),
    "one_view": PagePicture("A study with one view", one_view),
    "revision_2": PagePicture("The second revision of a report", revision_2),
}


def take(heart: Heart, parts: Sequence[StudyPart] = MODEL_VIEWS) -> list[Dataset]:
    """Return the images of some parts of a heart's study, always the same."""
    look = draw_examination(heart).look
    vendor = draw_examination(heart).vendor
    stacks = acquire_stacks(heart, look, heart.seed, only=tuple(parts))
    form = DicomForm(vendor, tesla=look.tesla)
    return list(build_datasets(stacks, draw_patient(heart), form, heart.seed))


def draw_pages(arrivals: Sequence[Arrival]) -> NDArray[np.uint8]:
    """Return the sheets of the last report on a study that arrives in parts, (sheets, H, W, 3)."""
    with TemporaryDirectory() as folder:
        clock = FakeClock(MADE)
        with closing(SqlLedger.in_folder(Path(folder), clock)) as ledger:
            assessor = _open_assessor(Path(folder), ledger, clock)
            intake = Intake(assessor.spool, ledger)
            uid = str(arrivals[0][0].StudyInstanceUID)
            for revision, images in enumerate(arrivals, start=1):
                for image in images:
                    intake.accept(part10(image), SOURCE)
                clock.pass_s(60)
                assert ledger.move(current(ledger, uid), Event.JUDGED_COMPLETE, "quiet")
                assessor.assess(uid, revision)
            assert current(ledger, uid).revision == len(arrivals), current(ledger, uid).reason
            product = ledger.list_products(uid, len(arrivals))[-1]
    document = dcmread(BytesIO(product.content))
    return secondary_capture.render_sheets(document.EncapsulatedDocument)


def _open_assessor(folder: Path, ledger: SqlLedger, clock: FakeClock) -> Assessor:
    return Assessor(
        spool=FileSpool(folder),
        ledger=ledger,
        queue=FakeQueue(),
        clock=clock,
        model=open_model(SETTINGS, None),
        equipment=build_equipment(SETTINGS),
        destinations={"pacs": ("application/dicom",)},
        holder="worker:1",
        lease_s=30,
        max_attempts=3,
        reports=(pdf.KIND,),
    )


def encode_picture(sheet: NDArray[np.uint8]) -> bytes:
    """Return a sheet (H, W, 3) as a PNG with a palette."""
    file = BytesIO()
    palette = Image.fromarray(sheet).quantize(COLOURS, Image.Quantize.FASTOCTREE)
    palette.save(file, "PNG", optimize=True)
    return file.getvalue()


if __name__ == "__main__":
    for name, picture in PICTURES.items():
        (page,) = draw_pages(picture.arrivals())
        (FOLDER / f"{name}.png").write_bytes(encode_picture(page))
