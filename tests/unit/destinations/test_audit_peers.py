from pathlib import Path

import pytest

from triage.config import Settings
from triage.destinations.http import without_secrets
from triage.domain.audit import AuditPeer
from triage.runtime.destinations import audit_peers

PACS = {"name": "pacs", "ae_title": "PACS", "host": "10.1.2.3", "port": 104, "tls": {}}
SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
WEBHOOK = "https://ris.example:8443/hook"


def peers_of(**entry: object) -> dict[str, AuditPeer]:
    return audit_peers(Settings.model_validate({"destinations": [entry]}))


def test_a_pacs_is_named_by_its_ae_title() -> None:
    assert peers_of(**PACS) == {"pacs": AuditPeer("PACS", "10.1.2.3", ae_title="PACS")}


@pytest.mark.parametrize(
    ("kind", "settings", "address"),
    [
        ("folder", {"path": Path("/reports")}, "file:///reports"),
        ("mllp", {"host": "127.0.0.1", "port": 2575}, "mllp://127.0.0.1:2575"),
        ("webhook", {"url": WEBHOOK, "secret": SECRET}, WEBHOOK),
    ],
)
def test_a_destination_outside_dicom_is_named_by_its_uri(
    kind: str, settings: dict[str, object], address: str
) -> None:
    expected = {"ris": AuditPeer("ris", address, is_dicom=False)}
    assert peers_of(name="ris", kind=kind, **settings) == expected


def test_a_dicomweb_service_is_named_by_its_host() -> None:
    vna = peers_of(name="vna", kind="stow", url="https://vna.example/dicom-web")
    assert vna == {"vna": AuditPeer("vna", "vna.example")}


def test_secrets_are_removed_from_a_url() -> None:
    assert without_secrets(f"https://me:{SECRET}@ris.example/?k=1") == "https://ris.example/"
