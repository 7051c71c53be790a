"""Studies of one beating slice, quickly made in any number: same pixels, UIDs of their own."""

from dataclasses import dataclass
from functools import cache
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.uid import UID

from tests.builders.hearts import PHASES, stacks
from tests.builders.images import image, part10, uid
from triage.phantom.dicom import DicomForm, build_datasets, draw_patient
from triage.phantom.habits import Vendor
from triage.phantom.heart import draw_heart
from triage.phantom.stack import PhantomView

FIRST = 1_000_000_000  #: so that all numbers have as many digits


@dataclass(frozen=True)
class SmallStudy:
    """A study that can be sent."""

    uid: str
    instances: tuple[bytes, ...]  #: as Part 10 files

    def datasets(self) -> list[Dataset]:
        return [dcmread(BytesIO(each)) for each in self.instances]


def small_study(number: int) -> SmallStudy:
    """Return a cine of the four chambers; equal numbers give equal studies."""
    return _renamed(_four_chambers(), number)


def not_for_us(number: int) -> SmallStudy:
    """Return a study without a heart in it."""
    return _renamed(_a_knee(), number)


@cache
def _four_chambers() -> tuple[bytes, ...]:
    (cine, *_) = [each for each in stacks() if each.view is PhantomView.FOUR_CHAMBER]
    made = list(build_datasets([cine], draw_patient(draw_heart(0)), DicomForm(Vendor.SIEMENS), 0))
    assert len(made) == PHASES
    return _patterns(made)


@cache
def _a_knee() -> tuple[bytes, ...]:
    return _patterns([image("knee", "t1", number, BodyPartExamined="KNEE") for number in range(3)])


def _patterns(made: list[Dataset]) -> tuple[bytes, ...]:
    """Give the instances UIDs of one length, that hold a number to be replaced."""
    for place, dataset in enumerate(made):
        study, instance = _uids(0, place)
        dataset.StudyInstanceUID = UID(study)
        dataset.SeriesInstanceUID = UID(f"{study}.1")
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(instance)
    return tuple(part10(each) for each in made)


def _renamed(patterns: tuple[bytes, ...], number: int) -> SmallStudy:
    old, new = str(FIRST).encode(), str(FIRST + number).encode()
    return SmallStudy(_uids(number, 0)[0], tuple(each.replace(old, new) for each in patterns))


def _uids(number: int, place: int) -> tuple[str, str]:
    root = uid("small")[:36].rstrip(".")
    return f"{root}.{FIRST + number}", f"{root}.{FIRST + number}.2.{place}"
