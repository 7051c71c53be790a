"""A bundle whose graph loops or allocates without end costs a child, not the worker."""

import shutil
from pathlib import Path

import pytest

from tests.builders.graphs import make_allocation, make_endless_loop, write_graph
from triage.config import ModelSettings, Settings
from triage.domain.errors import ConfigurationError
from triage.model.bundle import open_bundle
from triage.model.first_run import FirstRunLimits, try_bundle
from triage.runtime.model import open_encoder

UNTRAINED = ModelSettings().bundle
GIGABYTE = 1_000_000_000


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(UNTRAINED, tmp_path / "bundle"))


def test_a_graph_that_loops_without_end_is_refused(copy: Path) -> None:
    write_graph(copy, make_endless_loop())
    with pytest.raises(ConfigurationError, match="first run took more than 3 s"):
        try_bundle(open_bundle(copy), FirstRunLimits(3, 2 * GIGABYTE, 1))


def test_a_graph_that_allocates_beyond_its_limit_is_refused(copy: Path) -> None:
    write_graph(copy, make_allocation(GIGABYTE))  # 4 GB for each token
    with pytest.raises(ConfigurationError, match="first run failed with 2000000000 bytes.*not fit"):
        try_bundle(open_bundle(copy), FirstRunLimits(120, 2 * GIGABYTE, 1))


def test_a_first_run_that_succeeded_is_not_repeated(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ModelSettings(bundle=copy, threads=1)
    settings = Settings(state_dir=tmp_path / "state", model=model)
    cache = settings.state_dir / "cache"
    open_encoder(settings, open_bundle(copy), cache)
    monkeypatch.setattr("triage.runtime.model.try_bundle", lambda *_: pytest.fail("run again"))
    open_encoder(settings, open_bundle(copy), cache)
    open_encoder(Settings(), open_bundle(UNTRAINED))  # part of this release


def test_another_bundle_has_a_first_run_of_its_own(copy: Path, tmp_path: Path) -> None:
    model = ModelSettings(bundle=copy, threads=1, first_run_s=3)
    settings = Settings(state_dir=tmp_path / "state", model=model)
    write_graph(copy, make_endless_loop())
    with pytest.raises(ConfigurationError, match="model.first_run_s"):
        open_encoder(settings, open_bundle(copy), settings.state_dir / "cache")
    assert not list(settings.state_dir.glob("cache/*"))
