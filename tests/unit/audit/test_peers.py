from pathlib import Path
from types import SimpleNamespace

import pytest

from triage.audit.peers import peers
from triage.config import Settings
from triage.domain.audit import AuditPeer

PACS = {"name": "pacs", "ae_title": "PACS", "host": "10.1.2.3", "port": 104}
SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
WEBHOOK = "https://ris.example:8443/hook"


def test_a_pacs_is_named_by_its_ae_title() -> None:
    settings = Settings.model_validate({"destinations": [PACS]})
    assert peers(settings.destinations) == {"pacs": AuditPeer("PACS", "10.1.2.3", ae_title="PACS")}


@pytest.mark.parametrize(
    ("kind", "settings", "address"),
    [
        ("folder", {"path": Path("/reports")}, "file:///reports"),
        ("mllp", {"host": "127.0.0.1", "port": 2575}, "mllp://127.0.0.1:2575"),
        ("webhook", {"url": "https://ris.example:8443/hook", "secret": SECRET}, WEBHOOK),
    ],
)
def test_what_is_no_dicom_is_named_by_its_uri(
    kind: str, settings: dict[str, object], address: str
) -> None:
    written = {"name": "ris", "kind": kind, **settings}
    known = Settings.model_validate({"destinations": [written]}).destinations
    assert peers(known) == {"ris": AuditPeer("ris", address, is_dicom=False)}


def test_no_secret_of_a_url_is_told() -> None:
    ris = SimpleNamespace(name="ris", kind="webhook", url=f"https://me:{SECRET}@ris.example/?k=1")
    assert peers([ris]) == {"ris": AuditPeer("ris", "https://ris.example/", is_dicom=False)}


def test_a_dicomweb_service_is_named_by_its_host() -> None:
    vna = SimpleNamespace(name="vna", kind="stow", url="https://vna.example/dicom-web")
    assert peers([vna]) == {"vna": AuditPeer("vna", "vna.example")}
