"""Fixtures that acceptance tests share."""

from collections.abc import Iterator

import pytest

from tests.integration.servers import Orthanc, orthanc


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server
