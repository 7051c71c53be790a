"""A study with planted identifiers, and a peer that may not send."""

from collections.abc import Iterator
from pathlib import Path

from pydicom import dcmread

from triage.cli.demo_site import REAL_STUDY

FILES = sorted(REAL_STUDY.rglob("*.dcm"))
STRANGER = "STRANGER42"
PLANTED = {"PatientName": "Planted^Name", "PatientID": "PLANTED-4711", "AccessionNumber": "PLANT99"}


def planted(folder: Path) -> Iterator[Path]:
    """Yield the files of a study that names its patient, one twice and one damaged."""
    for path in FILES:
        dataset = dcmread(path)
        for keyword, value in PLANTED.items():
            setattr(dataset, keyword, value)
        dataset.save_as(folder / path.name.replace("phase", path.parent.name))
        yield folder / path.name.replace("phase", path.parent.name)
