from pathlib import Path
from types import SimpleNamespace

import pytest

from triage.audit.peers import peers
from triage.config import DicomDestination
from triage.domain.audit import Peer


def test_a_pacs_is_named_by_its_ae_title() -> None:
    pacs = DicomDestination(name="pacs", ae_title="PACS", host="10.1.2.3", port=104)
    assert peers([pacs]) == {"pacs": Peer("PACS", "10.1.2.3", ae_title="PACS")}


@pytest.mark.parametrize(
    ("kind", "settings", "address"),
    [
        ("folder", {"path": Path("/reports")}, "file:///reports"),
        ("mllp", {"host": "ris.example", "port": 2575}, "mllp://ris.example:2575"),
        ("webhook", {"url": "https://me:secret@ris.example:8443/hook?key=1"}, None),
    ],
)
def test_what_is_no_dicom_is_named_by_its_uri_without_secrets(
    kind: str, settings: dict[str, object], address: str | None
) -> None:
    (peer,) = peers([SimpleNamespace(name="ris", kind=kind, **settings)]).values()
    assert peer == Peer("ris", address or "https://ris.example:8443/hook", is_dicom=False)


def test_a_dicomweb_service_is_named_by_its_host() -> None:
    vna = SimpleNamespace(name="vna", kind="stow", url="https://vna.example/dicom-web")
    assert peers([vna]) == {"vna": Peer("vna", "vna.example")}
