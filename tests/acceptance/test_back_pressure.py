"""On a full disk, senders are refused in time and received studies are delivered."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydicom import Dataset, dcmread
from pydicom.uid import UID
from pynetdicom import AE

from tests.acceptance.site import CALLED, CALLING, LiveSite, configure, serving, storescu
from tests.integration.command_line import run_triage
from tests.integration.servers import Orthanc
from tests.peers import unavailable
from tests.waiting import HOST, wait_until
from triage.cli.demo_site import REAL_STUDY
from triage.dimse.association import CONNECTION_SETUP
from triage.dimse.statuses import StoreStatus
from triage.domain.study import State

DISK = 400_000_000
FLOOR = 200_000_000
FILES = sorted(REAL_STUDY.rglob("*.dcm"))
JPEG_LS = "-xt"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a small file system."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        unavailable("the right to mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(params=[False, True], ids=["plain", "fast"])
def site(disk: Path, pacs: Orthanc, request: pytest.FixtureRequest) -> LiveSite:
    running = configure(disk, pacs)
    content = yaml.safe_load(running.config.read_text())
    content["receiver"] |= {"fast": request.param, "free_bytes": FLOOR}
    running.config.write_text(yaml.safe_dump(content))
    return running


def renamed(path: Path) -> Dataset:
    """Return an instance as one of another study."""
    dataset = dcmread(path)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(dataset, keyword, UID(f"{dataset[keyword].value[:60]}.7"))
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def statuses(site: LiveSite, datasets: list[Dataset]) -> list[int]:
    """Return what pynetdicom is answered, on one association."""
    ae = AE(ae_title=CALLING)
    ae.add_requested_context(datasets[0].SOPClassUID, datasets[0].file_meta.TransferSyntaxUID)
    association = ae.associate(HOST, site.port, ae_title=CALLED, evt_handlers=[CONNECTION_SETUP])
    assert association.is_established
    answers: list[Any] = [association.send_c_store(each).Status for each in datasets]
    association.release()
    return answers


def status(site: LiveSite) -> str:
    shown = run_triage("status", config=site.config)
    assert shown.returncode == 0, shown.stderr
    return shown.stderr


def test_on_a_full_disk_senders_are_refused_and_succeed_when_there_is_room(
    site: LiveSite, disk: Path, pacs: Orthanc
) -> None:
    pacs.empty()
    ballast = disk / "ballast"
    with serving(site):
        assert storescu(site, FILES, JPEG_LS).wait(300) == 0
        ballast.write_bytes(bytes(FLOOR + 10_000_000))
        wait_until((site.state / "held-back").exists, what="the notice")
        other = [renamed(path) for path in FILES[:20]]
        assert statuses(site, other) == [StoreStatus.OUT_OF_RESOURCES] * 20
        assert storescu(site, FILES, JPEG_LS).wait(300) != 0
        assert re.match(r"not receiving: 1\d\d MB free of a floor of 200 MB\n", status(site))
        # Studies that were received before are delivered.
        assert site.wait_for_end().state is State.DELIVERED, site.log()
        assert len(site.studies()) == 1
        ballast.unlink()
        wait_until(lambda: not (site.state / "held-back").exists(), what="the end of it")
        assert statuses(site, other) == [StoreStatus.SUCCESS] * 20
        assert storescu(site, FILES, JPEG_LS).wait(300) == 0
        wait_until(lambda: len(site.studies()) == 2, what="the other study")
        assert site.studies()[-1].instances == 20
        assert "not receiving" not in status(site)
    incidents = [row for row in site.ledger().incidents() if "out of resources" in row.detail]
    assert [row.calling_ae for row in incidents] == [CALLING]
    assert incidents[0].times > 20
    log = site.log()
    assert log.count("not receiving: ") == log.count("receiving again") == 1
