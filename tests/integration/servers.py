"""Real servers on free loopback ports, ended by the fixtures that start them."""

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.peers import peer
from tests.waiting import HOST, wait_until
from triage.cli.demo_site import find_free_port


@dataclass(frozen=True)
class Orthanc:
    """A real PACS."""

    dicom_port: int
    http_port: int
    ae_title: str = "ORTHANC"

    def get(self, path: str) -> Any:
        """Return the JSON answer of its REST interface."""
        return json.loads(self.read(path))

    def read(self, path: str) -> bytes:
        """Return the bytes of an answer of its REST interface."""
        with urllib.request.urlopen(f"http://{HOST}:{self.http_port}{path}") as answer:
            return bytes(answer.read())

    def post(self, path: str, text: str) -> Any:
        """Return the JSON answer to a text that is sent to its REST interface."""
        url = f"http://{HOST}:{self.http_port}{path}"
        with urllib.request.urlopen(url, text.encode()) as answer:
            return json.loads(answer.read())

    def upload(self, part10: bytes) -> None:
        """Store a Part 10 file over its REST interface."""
        url = f"http://{HOST}:{self.http_port}/instances"
        with urllib.request.urlopen(url, part10):
            pass

    def empty(self) -> None:
        """Have it forget everything."""
        for patient in self.get("/patients"):
            url = f"http://{HOST}:{self.http_port}/patients/{patient}"
            with urllib.request.urlopen(urllib.request.Request(url, method="DELETE")):
                pass

    def reports(self) -> list[bytes]:
        """Return the Structured Reports that it holds, as Part 10 files."""
        series = [self.get(f"/series/{each}") for each in self.get("/series")]
        return [
            self.read(f"/instances/{instance}/file")
            for each in series
            if each["MainDicomTags"].get("Modality") == "SR"
            for instance in each["Instances"]
        ]

    def find_series(self, study_uid: str, modality: str) -> list[Any]:
        """Return the series of a study and modality."""
        wanted = {"StudyInstanceUID": study_uid, "Modality": modality}
        asked = {"Level": "Series", "Expand": True, "Query": wanted}
        return list(self.post("/tools/find", json.dumps(asked)))

    def is_up(self) -> bool:
        """Return whether it answers."""
        try:
            self.get("/system")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True


@contextmanager
def orthanc(folder: Path, dicom_port: int | None = None, **extra: object) -> Iterator[Orthanc]:
    """Run an Orthanc that takes everything, until the block ends; `extra`: settings of its own."""
    server = Orthanc(dicom_port or find_free_port(), find_free_port())
    process = start(server, folder, **extra)
    try:
        wait_until(server.is_up, what="Orthanc")
        yield server
    finally:
        process.terminate()
        process.wait(60)


def start(server: Orthanc, folder: Path, **extra: object) -> subprocess.Popen[bytes]:
    """Start an Orthanc that keeps what it has in a folder; it is not up at once."""
    program = peer("Orthanc")
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "DicomAet": server.ae_title,
        "DicomPort": server.dicom_port,
        "HttpPort": server.http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowStore": True,
        "Plugins": [],
        **extra,
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "orthanc.log").open("ab") as log:
        return subprocess.Popen([program, str(folder / "orthanc.json")], stdout=log, stderr=log)
