"""Fixtures that acceptance tests share."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from export.pairs import Pairs
from tests.acceptance.held_out_hearts import draw_hearts
from tests.integration.servers import Orthanc, orthanc


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture(scope="session")
def internal_hearts(run_folder: Path) -> Pairs:
    return draw_hearts(run_folder, "internal")


@pytest.fixture(scope="session")
def external_hearts(run_folder: Path) -> Pairs:
    return draw_hearts(run_folder, "external")


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Yield a folder with a short path, so that a private Redis has its socket in it."""
    with TemporaryDirectory(prefix="site-") as folder:
        yield Path(folder)
