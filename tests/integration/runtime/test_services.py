"""The services that a site's settings open, and the errors of wrong settings."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.postgres import Postgres
from triage.cases.past_cases import PastCases
from triage.config import Settings
from triage.model.bundle import open_bundle
from triage.runtime.storage import open_past_cases
from triage.store.vector_library import PgVectorLibrary


def opened(tmp_path: Path, url: str | None) -> PastCases:
    settings = Settings(state_dir=tmp_path, case_library=url)
    return open_past_cases(settings, open_bundle(settings.model.bundle))


@pytest.fixture
def shared(server: Postgres, tmp_path: Path) -> Iterator[PgVectorLibrary]:
    library = opened(tmp_path, server.new_database()).library
    assert isinstance(library, PgVectorLibrary)
    yield library
    library.close()


def test_with_case_library_no_case_is_in_the_state_folder(
    shared: PgVectorLibrary, tmp_path: Path
) -> None:
    assert shared.count_cases() == 0
    assert {path.name for path in tmp_path.iterdir()} == {"secret", "secret.fingerprint"}
