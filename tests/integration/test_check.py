"""`triage check`: ports, negotiation with a PACS, and the comparison with the running worker."""

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydicom.uid import UID, ComprehensiveSRStorage, KeyObjectSelectionDocumentStorage
from pynetdicom import AE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    Verification,
)

from tests.integration.command_line import run_triage
from tests.integration.site_settings import configured, listening, receiver
from tests.waiting import HOST
from triage.cli.demo_site import find_free_port
from triage.config import load
from triage.config.listening import list_receiving
from triage.runtime.listening import mark_listening
from triage.runtime.loaded import FILE, record_loaded
from triage.runtime.model import open_model
from triage.runtime.settings import load_settings

SHIPPED = load_settings(None, {}).findings


@contextmanager
def pacs(*sop_classes: str) -> Iterator[dict[str, Any]]:
    """Run a PACS that accepts these SOP classes; yield its entry in `destinations`."""
    ae = AE(ae_title="ARCHIVE")
    for sop_class in (Verification, *sop_classes):
        ae.add_supported_context(UID(sop_class))
    server = ae.start_server((HOST, 0), block=False)
    assert server is not None
    port = server.server_address[1]
    yield {"name": "pacs", "ae_title": "ARCHIVE", "host": HOST, "port": port, "timeout_s": 5}
    server.shutdown()


def committing(entry: dict[str, Any]) -> dict[str, Any]:
    """Return settings in which the PACS is asked for storage commitment, and may report."""
    return {
        "destinations": [{**entry, "commitment": True}],
        "receiver": receiver(calling=[entry["ae_title"]]),
    }


def test_the_settings_are_printed_only_if_asked_for(tmp_path: Path) -> None:
    config = configured(tmp_path)
    shown = run_triage("check", config=config)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "quiet_s" not in shown.stdout
    assert '"quiet_s": 15.0' in run_triage("check", "--settings", config=config).stdout


def test_a_pacs_states_what_it_accepts_and_what_it_refuses(tmp_path: Path) -> None:
    reports = ["structured_report", "key_images", "pdf"]
    with pacs(ComprehensiveSRStorage, KeyObjectSelectionDocumentStorage) as entry:
        config = configured(tmp_path, **committing(entry), reports=reports)
        shown = run_triage("check", config=config)
    assert shown.returncode == 2
    assert "destination pacs accepts structured_report as Comprehensive SR Storage" in shown.stdout
    assert "destination pacs accepts key_images as Key Object Selection Document" in shown.stdout
    refused = [line for line in shown.stderr.splitlines() if "refuses" in line]
    assert len(refused) == 2
    assert "refuses pdf: ARCHIVE at" in refused[0]
    assert "accepts no Encapsulated PDF Storage: enable this SOP class there" in refused[0]
    assert "accepts no Storage Commitment: enable it there, or set commitment: false" in refused[1]
    assert "2 fault(s)" in shown.stderr


def test_a_pacs_that_accepts_everything_is_no_fault(tmp_path: Path) -> None:
    classes: Sequence[str] = (ComprehensiveSRStorage, StorageCommitmentPushModel)
    with pacs(*classes) as entry:
        config = configured(tmp_path, **committing(entry), reports=["structured_report"])
        shown = run_triage("check", config=config)
    assert (shown.returncode, shown.stderr) == (0, "")


def test_a_listening_address_is_free_or_taken_or_that_of_the_worker(tmp_path: Path) -> None:
    config = configured(tmp_path, metrics={"port": find_free_port()})
    settings = load(config, {})
    port = settings.receiver.port
    shown = run_triage("check", config=config)
    assert f"listens for C-STORE on {HOST}:{port}: free" in shown.stdout
    assert f"listens for metrics on {HOST}:{settings.metrics.port}: free" in shown.stdout
    with socket.create_server((HOST, port)):
        taken = run_triage("check", config=config)
        (tmp_path / "state").mkdir(mode=0o700)
        with mark_listening(settings, list_receiving(settings)):
            ours = run_triage("check", config=config)
    assert taken.returncode == 2
    assert f"cannot listen on {HOST}:{port} for C-STORE: another program" in taken.stderr
    assert (ours.returncode, ours.stderr) == (0, "")
    assert f"{HOST}:{port}: the running worker listens" in ours.stdout


def test_it_names_what_the_next_start_changes(tmp_path: Path) -> None:
    findings = tmp_path / "findings.yaml"
    findings.write_text(SHIPPED.read_text())
    config = configured(tmp_path, findings="findings.yaml")
    shown = run_triage("check", config=config)
    assert "compared with the running worker: none has started yet" in shown.stdout
    settings = load_settings(config, {})
    record_loaded(settings, open_model(settings, None))
    shown = run_triage("check", config=config)
    assert "compared with the running worker: the next start changes nothing" in shown.stdout
    content = yaml.safe_load(SHIPPED.read_text())
    first, *others = content["findings"]
    content["findings"] = [{**first, "id": "pericardial_fat", "name": "Fat"}, *others]
    findings.write_text(yaml.safe_dump(content))
    changes = run_triage("check", config=config).stdout
    assert "pericardial_fat is new and has no threshold: it will be Not Evaluated" in changes
    assert f"{first['name']} will not be answered any more" in changes


def test_a_record_in_another_form_is_named(tmp_path: Path) -> None:
    config = configured(tmp_path)
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / FILE).write_text(json.dumps({"version": "0"}))
    shown = run_triage("check", config=config)
    assert shown.returncode == 0
    assert "is not readable by this release" in shown.stderr


@pytest.mark.parametrize("service", ["receiver", "stow", "web", "metrics"])
def test_a_taken_port_of_any_service_is_found(tmp_path: Path, service: str) -> None:
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        shown = run_triage("check", config=configured(tmp_path, **listening(service, port)))
    assert shown.returncode == 2
    assert f"cannot listen on {HOST}:{port} for " in shown.stderr
    assert "1 fault(s)" in shown.stderr
