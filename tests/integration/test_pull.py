"""Studies fetched from archives: Orthanc over C-GET, C-MOVE and DICOMweb."""

import re
import subprocess
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from pydicom import Dataset, dcmread
from pydicom.uid import JPEG2000Lossless, RLELossless

from tests.builders.images import SliceGeometry as Place
from tests.builders.images import cine, image, part10, uid
from tests.integration.command_line import run_triage
from tests.integration.retrieval import configured, fetched, names, opened
from tests.integration.servers import Orthanc, orthanc
from tests.peers import peer
from tests.waiting import HOST
from triage.__main__ import main
from triage.cli.demo_site import find_free_port
from triage.config import load
from triage.dimse.association import RemoteEntity
from triage.dimse.store_scu import send_files
from triage.domain.archive import ArchiveQuery
from triage.domain.errors import NotFound
from triage.domain.study import Event, State
from triage.pipeline.backpressure import REMEMBERED_S
from triage.pipeline.folder_studies import list_files
from triage.pipeline.retrieve import RetrieveOutcome, StudyRetriever
from triage.runtime.clock import SystemClock
from triage.runtime.paths import pulled_folder
from triage.runtime.retrieval import open_intake_target
from triage.runtime.storage import open_ledger, open_notice_file, open_spool
from triage.store.download import FolderDownloadTarget, lock_download_folder
from triage.telemetry import logs

DICOMWEB = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
WAYS = ["get", "move", "dicomweb"]
DAYS = {"one": "20240131", "two": "20240202", "three": "20240301"}
MOVE_AE, MOVE_PORT = "PULLING", find_free_port()


def study(name: str, **values: Any) -> list[Dataset]:
    more = {"StudyDate": DAYS.get(name, "20240501"), "StudyDescription": "Herz MRT", **values}
    return [*cine(name, "a", Place(), **more), image(name, "b", **more)]


def compressed(name: str) -> list[Dataset]:
    """One image as it is, one in RLE and one in JPEG 2000."""
    pixels = {"Rows": 64, "Columns": 64, "PixelData": bytes(range(256)) * 32}
    images = [image(name, "a", number, StudyDate="20240601", **pixels) for number in range(3)]
    images[1].compress(RLELossless, generate_instance_uid=False)
    images[2].compress(JPEG2000Lossless, generate_instance_uid=False)
    return images


def store(pacs: Orthanc, images: list[Dataset], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for each in images:
        files.append(folder / f"{each.SOPInstanceUID}.dcm")
        files[-1].write_bytes(part10(each))
    sent = send_files(files, RemoteEntity(HOST, pacs.dicom_port, pacs.ae_title, "MR"), lambda: None)
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


def pull(config: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return run_triage("pull", "--from", "pacs", *arguments, config=config)


@pytest.fixture(params=WAYS)
def puller(pacs: Orthanc, tmp_path: Path, request: pytest.FixtureRequest) -> StudyRetriever:
    return opened(configured(tmp_path, pacs=archive(pacs, request.param)))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with lock_download_folder(tmp_path / "into"):
        yield tmp_path / "into"


def test_a_study_comes_whole_and_only_once(puller: StudyRetriever, folder: Path) -> None:
    assert puller.retrieve(FolderDownloadTarget(folder), uid("one")) == (
        RetrieveOutcome.FETCHED,
        "",
    )
    assert fetched(folder) == {uid("one"): names(study("one"))}
    assert puller.retrieve(FolderDownloadTarget(folder), uid("one")) == (
        RetrieveOutcome.ALREADY_PRESENT,
        "",
    )
    assert [path.name for path in (folder / ".pulling").iterdir()] == ["lock"]


def test_images_come_as_they_are_stored(puller: StudyRetriever, folder: Path) -> None:
    assert puller.retrieve(FolderDownloadTarget(folder), uid("small")) == (
        RetrieveOutcome.FETCHED,
        "",
    )
    for sent in compressed("small"):
        came = dcmread(folder / uid("small") / f"{sent.SOPInstanceUID}.dcm")
        assert came.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
        assert came.PixelData == sent.PixelData


def test_a_study_that_the_archive_does_not_have_is_no_study(
    puller: StudyRetriever, folder: Path
) -> None:
    outcome, why = puller.retrieve(FolderDownloadTarget(folder), uid("nowhere"))
    assert outcome is RetrieveOutcome.FAILED
    assert "does not have it" in why
    assert fetched(folder) == {}


@pytest.mark.parametrize(
    ("search", "names"),
    [
        (ArchiveQuery(study_uid=uid("two")), ["two"]),
        (ArchiveQuery(since=date(2024, 1, 31), until=date(2024, 1, 31)), ["one"]),
        (ArchiveQuery(since=date(2024, 1, 31), until=date(2024, 2, 29)), ["one", "two"]),
        (ArchiveQuery(since=date(2024, 2, 1), modality="MR", description="herz"), [*DAYS][1:]),
        (ArchiveQuery(patient_id="MARKED-ID", description="mrt"), [*DAYS]),
        (ArchiveQuery(patient_id="MARKED"), []),
        (ArchiveQuery(since=date(2024, 1, 1), modality="CT"), []),
        (ArchiveQuery(since=date(2024, 1, 1), description="knie"), []),
    ],
)
def test_studies_are_found(puller: StudyRetriever, search: ArchiveQuery, names: list[str]) -> None:
    found = {study.study_uid: study for study in puller.find(search)}
    assert {*found} == {uid(name) for name in names}
    assert all(study.instances == 13 for study in found.values())
    assert all(study.modalities == ("MR",) for study in found.values())


def test_the_command_lists_fetches_and_tells(pacs: Orthanc, tmp_path: Path) -> None:
    config, folder = configured(tmp_path, pacs=archive(pacs, "get")), tmp_path / "into"
    days = ("--since", "2024-01-31", "--until", "2024-02-02", "--into", folder)
    listed = pull(config, *days, "--modality", "mr", "--description", "herz", "--list")
    assert listed.returncode == 0, listed.stderr
    rows = [line.split("\t") for line in listed.stdout.splitlines()]
    assert rows == [[uid(n), DAYS[n], "MR", "13 instances"] for n in ("one", "two")]
    assert "2 studies would be fetched, 0 are here already" in listed.stderr
    assert not folder.exists()
    worklist = tmp_path / "worklist.csv"
    worklist.write_text(f"study_uid,accession\n{uid('nowhere')},1\n{uid('two')},2\n")
    shown = pull(config, "--worklist", worklist, "--into", folder)
    assert shown.returncode == 2
    assert "1 fetched, 0 there already, 0 incomplete, 1 failed" in shown.stdout
    assert f"failed {uid('nowhere')}: no instance came" in shown.stderr
    assert "1 studies were not fetched: run the command again" in shown.stderr
    again = pull(config, *days)
    assert again.returncode == 0, again.stderr
    assert "1 fetched, 1 there already, 0 incomplete, 0 failed" in again.stdout
    assert set(fetched(folder)) == {uid("one"), uid("two")}
    for said in (listed, shown, again):
        assert "marked" not in (said.stdout + said.stderr).lower()


def test_what_is_to_be_assessed_is_given_to_the_intake_whole(pacs: Orthanc, tmp_path: Path) -> None:
    config = configured(tmp_path, pacs=archive(pacs, "get"))
    settings = load(config, {})
    with pytest.raises(NotFound, match="there is no ledger"):
        open_intake_target(settings, "pacs")
    open_ledger(settings, SystemClock()).close()  # as the worker makes it
    with lock_download_folder(pulled_folder(settings)):
        assert opened(config).retrieve(open_intake_target(settings, "pacs"), uid("one"))[0] is (
            RetrieveOutcome.FETCHED
        )
        again = opened(config).retrieve(open_intake_target(settings, "pacs"), uid("one"))
    assert again == (RetrieveOutcome.ALREADY_PRESENT, "")
    ledger = open_ledger(settings, SystemClock())
    ((arrived,), sources) = ledger.list_studies(), ledger.list_sources(uid("one"), 1)
    ledger.close()
    assert (arrived.study_uid, arrived.state, arrived.instances) == (
        uid("one"),
        State.RECEIVING,
        13,
    )
    assert {*sources} == {pacs.ae_title}
    assert {Path(path).stem for path in open_spool(settings).list_paths()} == names(study("one"))


def test_a_pull_waits_for_the_worker_and_brings_no_half_of_a_study(
    pacs: Orthanc, tmp_path: Path
) -> None:
    config = configured(tmp_path, pacs=archive(pacs, "get"))
    content = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**content, "receiver": {"waiting_studies": 1}}))
    settings = load(config, {})
    ledger = open_ledger(settings, SystemClock())
    open_notice_file(settings)(
        "not receiving new studies"
    )  # the receiver's word, not ours to take back
    puller = opened(config)
    waited: list[float] = []

    def meanwhile(seconds: float) -> None:
        assert [each.study_uid for each in ledger.list_studies()] == [uid("one")]
        waited.append(seconds)
        (study,) = ledger.list_studies()
        ledger.move(study, Event.JUDGED_COMPLETE, "all here")
        ledger.claim(uid("one"), 1, "worker", 60)
        time.sleep(REMEMBERED_S)

    puller.sleep = meanwhile
    with lock_download_folder(pulled_folder(settings)):
        shelf = open_intake_target(settings, "pacs")
        assert puller.retrieve(shelf, uid("one"))[0] is RetrieveOutcome.FETCHED
        time.sleep(REMEMBERED_S)
        assert puller.retrieve(shelf, uid("two"))[0] is RetrieveOutcome.FETCHED
    assert len(waited) == 1
    assert {(each.study_uid, each.instances) for each in ledger.list_studies()} == {
        (uid("one"), 13),
        (uid("two"), 13),
    }
    assert open_notice_file(settings).read() is not None
    ledger.close()


def test_a_worklist_of_a_spreadsheet_is_read_in_its_order(pacs: Orthanc, tmp_path: Path) -> None:
    worklist = tmp_path / "worklist.csv"
    names = ("two", "one", "two", "three")
    lines = [f"{uid(name)};Müller" for name in names]
    config = configured(tmp_path, pacs=archive(pacs, "get"))
    for encoding in ("cp1252", "utf-8-sig"):
        worklist.write_text("\n".join(lines), encoding=encoding)
        listed = pull(config, "--worklist", worklist, "--into", tmp_path / "into", "--list")
        assert listed.returncode == 0, listed.stderr
        shown = [line.split("\t")[0] for line in listed.stdout.splitlines()]
        assert shown == [uid("two"), uid("one"), uid("three")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["1.2.3"], "give --into FOLDER or --assess"),
        (["1.2.3", "--into", "x", "--assess"], "give --into FOLDER or --assess"),
        (["--into", "x"], "give either STUDY_UIDs or --worklist"),
        (["1.2.3", "--patient", "4711", "--into", "x"], "give either STUDY_UIDs or --worklist"),
        (["../x", "--into", "x"], "is no Study UID: '../x'"),
        (["--patient", "47*", "--into", "x"], "must not contain * ? or"),
        (["--modality", "MR", "--into", "x"], "need --since or --patient"),
        (["--since", "2024-02-01", "--until", "2024-01-01", "--into", "x"], "before --since"),
        (["--since", "2999-01-01", "--into", "x"], "is in the future"),
        (["1.2.3", "--into", "state/spool"], "is inside the state folder"),
        (["1.2.3", "--from", "other", "--into", "x"], "`archives` in the settings has no other"),
    ],
)
def test_what_is_said_unclearly_is_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logs, "configure", lambda _: None)
    settings = {"kind": "dicom", "ae_title": "PACS", "host": HOST, "port": 1}
    config = configured(tmp_path, pacs=settings)
    asked = ["--config", str(config), "pull", "--from", "pacs", *arguments]
    shown = CliRunner().invoke(main, asked)
    assert shown.exit_code == 2
    assert said in shown.output


def test_what_is_still_being_fetched_is_not_indexed(tmp_path: Path) -> None:
    for name in ("1.2/a.dcm", ".pulling/1.3/b.dcm"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    assert list_files(tmp_path) == [tmp_path / "1.2" / "a.dcm"]


@pytest.mark.parametrize("way", WAYS)
def test_the_audit_trail_is_told_of_questions_and_of_what_came(
    pacs: Orthanc, tmp_path: Path, way: str
) -> None:
    config = configured(tmp_path, pacs=archive(pacs, way))
    content = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump(content | {"audit": {"file": "audit.log"}}))
    ended = pull(config, "--patient", "MARKED-ID", "--into", tmp_path / "into")
    assert ended.returncode == 0, ended.stderr
    waiting = sorted((tmp_path / "state" / "audit").glob("*.line"))
    told = [path.read_bytes() for path in waiting]
    kinds = [re.findall(rb'<EventID [^>]*originalText="([^"]*)"', line)[0] for line in told]
    studies = len(fetched(tmp_path / "into"))
    assert studies >= len(DAYS)
    assert kinds == [b"Query"] + [b"DICOM Instances Transferred"] * studies
    assert all(b'ParticipantObjectID="MARKED-ID"' in line for line in told[1:])
    assert b'NumberOfInstances="13"' in told[1]
    assert "MARKED-ID" not in ended.stdout + ended.stderr
