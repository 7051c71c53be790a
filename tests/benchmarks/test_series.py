"""How long a real study takes from files to frames: run with `make bench`, or this file with -s."""

from pathlib import Path
from time import perf_counter, process_time

from pydicom import dcmread

from tests.peers import real_data
from triage.dicom.header import read_header
from triage.imaging.clip import find_heart_centre, join_views, prepare_view
from triage.imaging.series import Image, select_views
from triage.model.bundle import ClipForm
from triage.ports.encoder import Frames

FORM = ClipForm(frames=64, height=224, width=224)
REPEATS = 5


def clip_of(files: list[Path]) -> Frames:
    """Go the way of an assessment: headers, selection, and the frames of what was chosen."""
    images = [Image(str(path), read_header(path.read_bytes())) for path in files]
    used = select_views(images, [slot.view for slot in FORM.layout]).used
    heart = find_heart_centre(used)
    views = {
        each.view: prepare_view(each, FORM, heart, lambda path: Path(path).read_bytes())
        for each in used
    }
    return join_views(views, FORM)


def decode_all(files: list[Path]) -> None:
    for path in files:
        _ = dcmread(path).pixel_array


def test_from_a_real_study_to_its_frames() -> None:
    files = sorted(real_data("siemens_vida_cine").rglob("*.dcm"))
    for what, work in (("files to frames", clip_of), ("decoding all of them", decode_all)):
        wall, cpu = [], []
        for _ in range(REPEATS):
            started, busy = perf_counter(), process_time()
            work(files)
            wall.append(perf_counter() - started)
            cpu.append(process_time() - busy)
        print(
            f"{len(files)} instances, {what:20}: {min(wall):.2f} to {max(wall):.2f} s, "
            f"CPU {min(cpu):.2f} s"
        )
