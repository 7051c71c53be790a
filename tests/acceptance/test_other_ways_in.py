"""A study over STOW-RS and a study in a watched folder: both get their report."""

import shutil
from io import BytesIO
from pathlib import Path

import yaml
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread

from receivers.stow.access import hash_token
from tests.acceptance.site import configure, serving
from tests.integration.servers import Orthanc
from tests.waiting import HOST, listens, wait_until
from triage.cli.demo_site import find_free_port
from triage.domain.study import ENDED, State
from triage.phantom.archive import write_study
from triage.phantom.heart import draw_heart

TOKEN = "of 32 random bytes"


def test_studies_over_stow_and_from_a_folder_get_their_reports(
    tmp_path: Path, pacs: Orthanc
) -> None:
    sent = write_study(tmp_path / "sent", draw_heart(5))
    dropped = write_study(tmp_path / "dropped", draw_heart(6))
    running = configure(tmp_path / "site", pacs)
    content = yaml.safe_load(running.config.read_text())
    port = find_free_port()
    stow = {"port": port, "senders": {"MR1": {"token": hash_token(TOKEN)}}}
    folder = {"path": "incoming", "settle_s": 1, "every_s": 0.5, "after": "move"}
    content["receiver"] |= {"stow": stow, "folder": folder}
    running.config.write_text(yaml.safe_dump(content))
    incoming = running.folder / "incoming"
    incoming.mkdir()
    with serving(running):
        wait_until(lambda: listens(port), what="STOW-RS")
        headers = {"Authorization": f"Bearer {TOKEN}"}
        client = DICOMwebClient(f"http://{HOST}:{port}", headers=headers)
        shutil.copytree(tmp_path / "dropped", incoming / "export")
        told = client.store_instances([dcmread(path) for path in sent])
        assert len(told.ReferencedSOPSequence) == len(sent)
        wait_until(
            lambda: len(found := running.studies()) == 2 and all(s.state in ENDED for s in found),
            120,
            "the reports",
        )
        studies = running.studies()
    assert {(study.state, study.revision) for study in studies} == {(State.DELIVERED, 1)}
    assert sorted(study.instances for study in studies) == sorted([len(sent), len(dropped)])
    ledger = running.ledger()
    assert [ledger.list_sources(study.study_uid, 1) for study in studies].count({"MR1"}) == 1
    assert [ledger.list_sources(study.study_uid, 1) for study in studies].count({"FOLDER"}) == 1
    (incident,) = ledger.incidents()  # files beside the images of a phantom
    assert (incident.calling_ae, incident.times) == ("FOLDER", 2)
    ledger.close()
    assert {str(dcmread(path).StudyInstanceUID) for path in (sent[0], dropped[0])} == {
        str(dcmread(BytesIO(report)).StudyInstanceUID) for report in pacs.reports()
    }
    moved = {path.name for path in (incoming / "taken" / "export").rglob("*.dcm")}
    assert moved == {path.name for path in dropped}
    log = running.log()
    assert TOKEN not in log
    assert str(dcmread(sent[0]).PatientID) not in log
