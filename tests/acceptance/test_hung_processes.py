"""Processes of a running site that are stopped: alive for the system, and doing nothing."""

import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pydicom import dcmread

from tests.acceptance.site import CALLED, CALLING, LiveSite, configure, serving, storescu
from tests.integration.servers import Orthanc, orthanc
from tests.peers import peer
from tests.waiting import HOST, wait_until
from triage.cli.demo_site import REAL_STUDY
from triage.domain.health import HungReason
from triage.domain.incident import IncidentKind
from triage.domain.study import State
from triage.domain.uid import new_uid

FILES = sorted(REAL_STUDY.rglob("*.dcm"))
JPEG_LS = "-xt"
#: The encoding of a clip takes a second, and the shortest lease keeps the test short.
LIMITS = {"lease_s": 5, "silent_s": 10, "stalled_s": 40}


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, pacs: Orthanc) -> Iterator[LiveSite]:
    site = configure(tmp_path_factory.mktemp("site"), pacs, worker=LIMITS)
    with serving(site):
        yield site


def write_another_study(folder: Path) -> list[Path]:
    """Write the study of `FILES` under other UIDs."""
    other: defaultdict[str, str] = defaultdict(new_uid)
    for number, path in enumerate(FILES):
        dataset = dcmread(path)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            setattr(dataset, keyword, other[dataset[keyword].value])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(folder / f"{number}.dcm")
    return sorted(folder.glob("*.dcm"))


def is_restarted(site: LiveSite, before: psutil.Process, *arguments: str) -> bool:
    found = [p for p in site.processes() if all(a in " ".join(p.cmdline()) for a in arguments)]
    return bool(found) and before not in found


def stop_the_assessor(site: LiveSite, attempt: int) -> None:
    """Stop the worker during an attempt to assess a study; wait until it is replaced."""
    assessed = (State.ASSESSING, attempt)
    wait_until(
        lambda: any((s.state, s.attempts) == assessed for s in site.studies()), what="an attempt"
    )
    worker = site.process("work", "assess")
    worker.suspend()
    wait_until(lambda: is_restarted(site, worker, "work", "assess"), what="another worker")


def answers_echo(site: LiveSite) -> bool:
    command = [peer("echoscu"), "-to", "5", "-aet", CALLING, "-aec", CALLED, HOST, str(site.port)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_the_study_of_a_stopped_worker_is_delivered_by_the_next_and_a_stopped_receiver_answers(
    site: LiveSite, pacs: Orthanc
) -> None:
    assert storescu(site, FILES, JPEG_LS).wait(300) == 0
    stop_the_assessor(site, 1)
    assert site.wait_for_end().state is State.DELIVERED, site.log()
    assert len(pacs.reports()) == 1
    receiver = site.process("triage", "receive")
    receiver.suspend()
    wait_until(lambda: is_restarted(site, receiver, "triage", "receive"), what="another receiver")
    wait_until(lambda: answers_echo(site), what="an answer to C-ECHO")
    ledger = site.ledger()
    assert ledger.get_census().killed == {HungReason.SILENT: 2}
    details = {row.detail for row in ledger.incidents(of=[IncidentKind.PROCESS_SILENT])}
    assert details == {"assess-0: no sign of life", "receive: no sign of life"}
    ledger.close()


def test_a_study_that_silences_its_worker_twice_is_set_aside(
    site: LiveSite, tmp_path: Path
) -> None:
    site.process("redis-server").kill()  # workers that wait for a broker are not hung either
    assert storescu(site, write_another_study(tmp_path), JPEG_LS).wait(300) == 0
    stop_the_assessor(site, 1)
    stop_the_assessor(site, 2)
    wait_until(lambda: any(s.state is State.FAILED for s in site.studies()), what="the end")
    (study,) = (study for study in site.studies() if study.state is State.FAILED)
    assert "attempt 2 of 5; the study may be the cause" in study.reason
    assert (
        "no progress" not in site.log()
    )  # neither idle nor reconnected workers are taken for hung
