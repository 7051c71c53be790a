"""Archives, and folders to pull into."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from triage.store.download import lock_download_folder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with lock_download_folder(tmp_path / "into"):
        yield tmp_path / "into"
