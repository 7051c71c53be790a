"""Fixtures that many tests share, the order of the test files, and limits for all tests."""

import gc
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.fakes import FakeClock, FakeEncoder, FakeQueue
from tests.integration.postgres import Postgres, postgres
from tests.peers import unavailable
from triage import destinations
from triage.config import Settings
from triage.findings.loader import load_findings
from triage.model.bundle import open_bundle
from triage.model.prompts import embed_prompts
from triage.model.questions import build_questions
from triage.pipeline.assess import Assessor
from triage.pipeline.model_input import LoadedModel
from triage.runtime.model import build_equipment
from triage.store.database import Database
from triage.store.ledger import SqlLedger
from triage.store.spool import FileSpool

SETTINGS = Settings()
destinations.register()
#: Files that take a minute or longer run first, so that no process ends long after the others.
#: All other files follow in the order of their names; tests/README.md has the figures.
LONGEST_FIRST = (
    "acceptance/test_crashes.py",
    "acceptance/test_restore_drill.py",
    "acceptance/test_rolling_restart.py",
    "acceptance/test_cases.py",
    "acceptance/test_demo_bundle.py",
    "acceptance/test_familiarity.py",
    "acceptance/test_privacy.py",
    "acceptance/test_completeness.py",
    "integration/test_fast_store.py",
    "integration/test_pull.py",
    "unit/export/test_pretrain.py",
    "unit/export/test_phantoms.py",
)

FUZZ_S = 1.0  #: of each fuzzer in the ordinary tests; `make fuzz` goes on for longer

# A busy machine makes an example slow without any fault of the code.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the duration of the fuzzers."""
    parser.addoption(
        "--fuzz-seconds",
        type=float,
        default=FUZZ_S,
        help=f"Seconds for which each fuzzer goes on [default: {FUZZ_S:g}].",
    )


@pytest.fixture
def fuzz_seconds(request: pytest.FixtureRequest) -> float:
    """Return for how long a fuzzer goes on."""
    return float(request.config.getoption("--fuzz-seconds"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files of LONGEST_FIRST before all others."""
    ranks = {Path(__file__).parent / name: rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


def pytest_collection_finish() -> None:
    """Exempt what is loaded by now from garbage collection.

    All tests and their libraries are some million objects, so each collection would take a second;
    pynetdicom collects often, and so do tests that count what a part leaves behind.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that all processes of this test run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database, one of each kind that a ledger may lie in."""
    if request.param == "sqlite":
        return f"sqlite:///{SqlLedger.path_in(tmp_path)}"
    server: Postgres = request.getfixturevalue("server")
    return server.new_database()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mounted = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)]
    if subprocess.run(mounted, check=False, capture_output=True).returncode:
        unavailable("a disk of 256 kB (mounting one needs root)")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ledger(tmp_path: Path, clock: FakeClock) -> Iterator[SqlLedger]:
    opened = SqlLedger.in_folder(tmp_path, clock)
    yield opened
    opened.close()


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()


@pytest.fixture
def assessor(tmp_path: Path, ledger: SqlLedger, queue: FakeQueue, clock: FakeClock) -> Assessor:
    bundle = open_bundle(SETTINGS.model.bundle)
    findings = load_findings(SETTINGS.findings)
    encoder = FakeEncoder()
    prompts = embed_prompts(findings, bundle, encoder, tmp_path / "cache")
    return Assessor(
        spool=FileSpool(tmp_path),
        ledger=ledger,
        queue=queue,
        clock=clock,
        model=LoadedModel(
            bundle, encoder, findings, build_questions(findings, bundle, prompts, {})
        ),
        equipment=build_equipment(SETTINGS),
        destinations=dict.fromkeys(("pacs", "archive"), ("application/dicom",)),
        holder="worker:1",
        lease_s=30,
        max_attempts=3,
    )
