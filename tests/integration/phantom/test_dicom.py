"""dicom3tools finds no error in phantom studies."""

import subprocess
from pathlib import Path

import pytest
from pydicom import Dataset

from tests.builders.phantom_protocol import (
    VENDORS,
    study,
)
from tests.peers import dciodvfy_errors, peer
from triage.phantom.habits import Vendor

# -- judged by others


@pytest.mark.parametrize("enhanced", [False, True], ids=["classic", "enhanced"])
@pytest.mark.parametrize("vendor", VENDORS)
def test_dciodvfy_finds_no_error(vendor: Vendor, tmp_path: Path, *, enhanced: bool) -> None:
    judge = peer("dciodvfy")
    series: dict[tuple[str, str], Dataset] = {}
    for seed in range(1 if enhanced else 3):
        for each in study(vendor, seed, enhanced=enhanced):
            series.setdefault((each.SeriesInstanceUID, str(each.ImageType)), each)
    for number, each in enumerate(series.values()):
        file = tmp_path / f"{number}.dcm"
        each.save_as(file, enforce_file_format=True)
        done = subprocess.run(
            [judge, "-new", str(file)], check=False, capture_output=True, text=True, timeout=60
        )
        errors = dciodvfy_errors(done.stdout + done.stderr)
        assert not errors, (each.SeriesDescription, errors)


# -- understood by our own reader


# -- habits


# -- seeds, patients, truth
