"""Programs of other projects that the tests need: DCMTK, dicom3tools, PixelMed and others.

On a developer's machine a missing program skips its tests. With TRIAGE_REQUIRE_PEERS=1, as in CI,
it fails them, so that no verdict is lost.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

SCRIPTS = Path(sys.executable).parent
#: Programs of the test dependencies, which are preferred: those of a distribution may be years old.
BROUGHT = frozenset({"dciodvfy"})


def peer(name: str) -> str:
    """Return the path of program `name`, or of the file `name`; skip or fail if it is missing.

    Of the scripts of this Python installation only `BROUGHT` count: pynetdicom has an `echoscu` of
    its own.
    """
    if name in BROUGHT and (SCRIPTS / name).is_file():
        return str(SCRIPTS / name)
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    others = os.pathsep.join(folder for folder in folders if Path(folder) != SCRIPTS)
    path = shutil.which(name, path=others) or (name if Path(name).is_file() else None)
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


def dciodvfy_errors(output: str) -> list[str]:
    """Return the errors that dciodvfy prints."""
    return [line for line in output.splitlines() if line.startswith("Error")]
