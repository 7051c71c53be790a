"""The services that a site's settings open, and the errors of wrong settings."""

import sys
from pathlib import Path

import pytest

from triage.cases.past_cases import PastCases
from triage.cli.demo_site import find_free_port
from triage.config import ReceiverSettings, Settings
from triage.domain.completeness import CompletenessPolicy, EvidenceKind
from triage.domain.delivery import JSON
from triage.domain.errors import ConfigurationError, LedgerUnavailable
from triage.model.bundle import open_bundle
from triage.runtime.services import Services, build_completeness_policies
from triage.runtime.storage import open_past_cases
from triage.store.library import ExactLibrary


def opened(tmp_path: Path, url: str | None) -> PastCases:
    settings = Settings(state_dir=tmp_path, case_library=url, without_tls=("case_library",))
    return open_past_cases(settings, open_bundle(settings.model.bundle))


def test_completeness_policies_by_sender() -> None:
    receiver = ReceiverSettings.model_validate(
        {
            "quiet_s": 20,
            "complete": {
                "at_most_s": 900,
                "sources": [
                    {"calling": "MR1", "quiet_s": 60, "evidence": []},
                    {"calling": "MR2", "at_most_s": 300},
                ],
            },
        }
    )
    usual, by_sender = build_completeness_policies(receiver)
    assert usual == CompletenessPolicy(
        20, 3, 900, frozenset({EvidenceKind.VIEWS, EvidenceKind.ANNOUNCED})
    )
    assert by_sender == {
        "MR1": CompletenessPolicy(60, 3, 900, frozenset()),
        "MR2": CompletenessPolicy(
            20, 3, 300, frozenset({EvidenceKind.VIEWS, EvidenceKind.ANNOUNCED})
        ),
    }


def test_an_assessor_opens_no_destination(tmp_path: Path) -> None:
    """A destination with a missing secret file must not stop the assessment."""
    webhook = {"name": "ris", "kind": "webhook", "url": "https://ris.example"}
    webhook["secret_file"] = str(tmp_path / "gone")
    settings = Settings.model_validate({"state_dir": tmp_path, "destinations": [webhook]})
    assessor = Services(settings, "redis://127.0.0.1:1").build_assessor()
    assert assessor.destinations == {"ris": (JSON,)}


def test_without_case_library_cases_are_in_the_state_folder(tmp_path: Path) -> None:
    assert isinstance(opened(tmp_path, None).library, ExactLibrary)


@pytest.mark.parametrize("missing", ["pgvector", "psycopg"])
def test_a_missing_client_is_an_error_that_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "triage.store.vector_library", raising=False)
    with pytest.raises(ConfigurationError, match=r"pip install 'cmr-triage\[postgres\]'"):
        opened(tmp_path, "postgresql+psycopg://u:hush@127.0.0.1/db")


@pytest.mark.parametrize("rest", ["u:hu/sh:x@h:port/db", "u:hush@h:70000000/db", "[hush"])
def test_an_invalid_url_is_not_repeated(tmp_path: Path, rest: str) -> None:
    with pytest.raises((ConfigurationError, LedgerUnavailable)) as error:
        opened(tmp_path, f"postgresql+psycopg://{rest}")
    assert "hush" not in str(error.value)


def test_a_database_that_does_not_answer_is_ledger_unavailable(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable):
        opened(tmp_path, f"postgresql+psycopg://u:hush@127.0.0.1:{find_free_port()}/db")


def test_close_ends_the_thread_pools(tmp_path: Path) -> None:
    services = Services(Settings(state_dir=tmp_path), "redis://127.0.0.1:1")
    pools = [services.build_commitment_scp().executor, services.build_evidence_collector().executor]
    assert all(pool.submit(int).result(10) == 0 for pool in pools)
    services.close()
    for pool in pools:
        with pytest.raises(RuntimeError, match="after shutdown"):
            pool.submit(int)
    services.database.close()
