"""Foreign programs that judge what we write: DCMTK, dicom3tools, PixelMed and the like.

Rule: on a user's machine a missing judge skips its tests and says so; where
TRIAGE_REQUIRE_PEERS=1 stands, as in CI, it fails them. No verdict may get lost in silence.
"""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def peer(name: str) -> str:
    """Return the path of program `name`, or of the file `name`; skip or fail if it is missing."""
    path = shutil.which(name) or (name if Path(name).is_file() else None)
    return path or unavailable(name)


def real_data(folder: str) -> Path:
    """Return a folder of the real data; skip or fail where it is missing."""
    path = Path(os.environ.get("TRIAGE_REAL_DATA", "../shared/data")) / folder
    if not path.is_dir():
        unavailable(f"{path} (TRIAGE_REAL_DATA names the folder of the real data)")
    return path


def unavailable(what: str) -> NoReturn:
    """Skip the test for want of something; fail where everything must be there."""
    if os.environ.get("TRIAGE_REQUIRE_PEERS") == "1":
        pytest.fail(f"missing: {what}, and TRIAGE_REQUIRE_PEERS=1 wants it")
    pytest.skip(f"missing: {what}")
