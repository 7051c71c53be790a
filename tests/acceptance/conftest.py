"""Fixtures that acceptance tests share."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.integration.servers import Orthanc, orthanc


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Yield a folder with a short path, so that a private Redis has its socket in it."""
    with TemporaryDirectory(prefix="site-") as folder:
        yield Path(folder)
