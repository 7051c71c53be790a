"""Studies fetched from archives: Orthanc over C-GET, C-MOVE and DICOMweb."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydicom import Dataset, dcmread
from pydicom.uid import JPEG2000Lossless, RLELossless

from tests.builders.images import Slice as Place
from tests.builders.images import cine, image, part10, uid
from tests.integration.servers import HOST, Orthanc, orthanc
from tests.peers import peer
from triage.demo import free_port
from triage.send import Peer, send

DICOMWEB = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
WAYS = ["get", "move", "dicomweb"]
DAYS = {"one": "20240131", "two": "20240202", "three": "20240301"}
MOVE_AE, MOVE_PORT = "PULLING", free_port()


def study(name: str, **values: Any) -> list[Dataset]:
    more = {"StudyDate": DAYS.get(name, "20240501"), "StudyDescription": "Herz MRT", **values}
    return [*cine(name, "a", Place(), **more), image(name, "b", **more)]


def compressed(name: str) -> list[Dataset]:
    """One image as it is, one in RLE and one in JPEG 2000."""
    images = [image(name, "a", number, StudyDate="20240601") for number in range(3)]
    images[1].compress(RLELossless)
    images[2].compress(JPEG2000Lossless, j2k_cr=None)
    return images


def store(pacs: Orthanc, images: list[Dataset], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for each in images:
        files.append(folder / f"{each.SOPInstanceUID}.dcm")
        files[-1].write_bytes(part10(each))
    sent = send(files, Peer(HOST, pacs.dicom_port, pacs.ae_title, "MR"), lambda: None)
    assert all(each.stored for each in sent)


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(
        tmp_path_factory.mktemp("orthanc"),
        Plugins=[peer(DICOMWEB)],
        DicomModalities={"pull": [MOVE_AE, HOST, MOVE_PORT]},
        DicomAlwaysAllowFind=True,
        DicomAlwaysAllowGet=True,
        DicomAlwaysAllowMove=True,
    ) as running:
        folder = tmp_path_factory.mktemp("sent")
        for name in DAYS:
            store(running, study(name), folder)
        store(running, compressed("small"), folder)
        yield running


def archive(pacs: Orthanc, way: str, **more: Any) -> dict[str, Any]:
    if way == "dicomweb":
        url = f"http://{HOST}:{pacs.http_port}/dicom-web"
        return {"kind": "dicomweb", "url": url, "instances_per_s": None, **more}
    move_to = {"ae_title": MOVE_AE, "port": MOVE_PORT} if way == "move" else None
    return {
        "kind": "dicom",
        "ae_title": pacs.ae_title,
        "host": HOST,
        "port": pacs.dicom_port,
        "move_to": move_to,
        "instances_per_s": None,
        "timeout_s": 20,
        **more,
    }


def configured(tmp_path: Path, **archives: Any) -> Path:
    path = tmp_path / "triage.yaml"
    content = {"state_dir": str(tmp_path / "state"), "archives": archives, "log": "json"}
    path.write_text(yaml.safe_dump(content))
    return path


def command(config: Path, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "triage", "--config", str(config), "pull", *map(str, arguments)]


def pull(config: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(config, "--from", "pacs", *arguments),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "250"},
    )


def fetched(folder: Path) -> dict[str, set[str]]:
    return {
        each.name: {path.stem for path in each.glob("*.dcm")}
        for each in folder.iterdir()
        if not each.name.startswith(".")
    }


def names(images: list[Dataset]) -> set[str]:
    return {str(each.SOPInstanceUID) for each in images}


@pytest.mark.parametrize("way", WAYS)
def test_a_study_comes_whole_and_only_once(pacs: Orthanc, tmp_path: Path, way: str) -> None:
    config, folder = configured(tmp_path, pacs=archive(pacs, way)), tmp_path / "into"
    shown = pull(config, uid("one"), "--into", folder)
    assert shown.returncode == 0, shown.stderr
    assert "1 fetched, 0 there already, 0 incomplete, 0 failed" in shown.stdout
    assert fetched(folder) == {uid("one"): names(study("one"))}
    again = pull(config, uid("one"), "--into", folder)
    assert "0 fetched, 1 there already, 0 incomplete, 0 failed" in again.stdout
    said = shown.stdout + shown.stderr + again.stderr
    assert "Marked" not in said
    assert "MARKED" not in said


@pytest.mark.parametrize("way", WAYS)
def test_images_come_as_they_are_stored(pacs: Orthanc, tmp_path: Path, way: str) -> None:
    config, folder = configured(tmp_path, pacs=archive(pacs, way)), tmp_path / "into"
    shown = pull(config, uid("small"), "--into", folder)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    for sent in compressed("small"):
        came = dcmread(folder / uid("small") / f"{sent.SOPInstanceUID}.dcm")
        assert came.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
        assert came.PixelData == sent.PixelData


@pytest.mark.parametrize("way", WAYS)
def test_studies_are_found_by_days_modality_and_description(
    pacs: Orthanc, tmp_path: Path, way: str
) -> None:
    config, folder = configured(tmp_path, pacs=archive(pacs, way)), tmp_path / "into"
    days = ("--since", "2024-01-31", "--until", "2024-02-29", "--into", folder)
    listed = pull(config, *days, "--modality", "mr", "--description", "herz", "--list")
    assert listed.returncode == 0, listed.stderr
    rows = [line.split("\t") for line in listed.stdout.splitlines()]
    assert rows == [[uid(n), DAYS[n], "MR", "13 instances"] for n in ("one", "two")]
    assert "2 studies would be fetched, 0 are there already" in listed.stderr
    assert not folder.exists()
    shown = pull(config, *days)
    assert "2 fetched" in shown.stdout, shown.stderr
    assert set(fetched(folder)) == {uid("one"), uid("two")}
    for other in (("--modality", "CT"), ("--description", "knie")):
        assert not pull(config, *days, *other, "--list").stdout
