"""Fixtures that integration tests share."""

import pytest

from tests.integration.certificates import TlsWorld, issue_certificates


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> TlsWorld:
    return issue_certificates(tmp_path_factory.mktemp("certificates"))
