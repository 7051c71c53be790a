"""A restore drill: a site under load is backed up, its machine is lost, it is restored elsewhere.

Everything that was acknowledged before the backup is answered for; keys of sent reports resolve;
past cases are found; and no report is sent twice under another UID, not even after the PACS has
sent everything again.
"""

import json
import shutil
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydicom import dcmread

from tests.acceptance.site import LiveSite, configure, serving, storescu
from tests.builders.small_studies import SmallStudy, not_for_us, small_study
from tests.integration.command_line import run_triage
from tests.integration.servers import Orthanc
from tests.waiting import wait_until
from triage.config import load
from triage.domain.case import Case
from triage.domain.study import ENDED, State
from triage.model.bundle import open_bundle
from triage.reports.codes import CASE_KEY
from triage.runtime.model import DEMO_BUNDLE, DEMO_FINDINGS
from triage.runtime.storage import open_library

FIRST, SECOND, WAITING = 11, 12, (13, 14)  #: numbers of studies
SEEDS = 40  #: past cases that resemble nothing, so that a similar study can be called similar


def files_of(study: SmallStudy, folder: Path, patient: str) -> list[Path]:
    """Write a study of a patient of its own."""
    folder = folder / study.uid
    folder.mkdir(parents=True)
    for number, dataset in enumerate(study.datasets()):
        dataset.PatientID = patient
        dataset.save_as(folder / f"{number}.dcm")
    return sorted(folder.iterdir())


@dataclass
class Drill:
    """The sent studies, and the acknowledged instances."""

    folder: Path
    acknowledged: list[str] = field(default_factory=list)
    files: dict[str, list[Path]] = field(default_factory=dict)

    def send(self, site: LiveSite, study: SmallStudy) -> None:
        files = self.files.setdefault(study.uid, [])
        files += files or files_of(study, self.folder, f"patient {study.uid[-4:]}")
        assert storescu(site, files).wait(300) == 0
        self.acknowledged.append(study.uid)

    @contextmanager
    def load(self, site: LiveSite) -> Iterator[None]:
        """Send studies without a heart, one after the other, until the block ends."""
        ended = threading.Event()

        def run() -> None:
            number = 100
            while not ended.is_set():
                self.send(site, not_for_us(number))
                number += 1

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def seed(site: LiveSite) -> None:
    """Add past cases of many patients whose vectors are far from one another."""
    settings = load(site.config, {})
    bundle = open_bundle(settings.model.bundle)
    library, rng = open_library(settings, bundle), np.random.default_rng(0)
    for number in range(SEEDS):
        drawn = rng.standard_normal(bundle.manifest.sizes.embedding).astype(np.float32)
        library.add(Case(f"9.{number}", f"seed {number}"), drawn / np.linalg.norm(drawn))


def sent_reports(pacs: Orthanc) -> dict[str, set[str]]:
    """Return the UIDs of the reports at the archive, by study."""
    found = defaultdict(set)
    for content in pacs.reports():
        report = dcmread(BytesIO(content))
        found[str(report.StudyInstanceUID)].add(str(report.SOPInstanceUID))
    return found


def key_in_report(pacs: Orthanc, study_uid: str) -> str:
    """Return the key of a similar case that the report on a study contains."""
    reports = (dcmread(BytesIO(content)) for content in pacs.reports())
    (report,) = [report for report in reports if report.StudyInstanceUID == study_uid]
    items = [item for element in report.iterall() if element.VR == "SQ" for item in element.value]
    return next(
        str(item.TextValue)
        for item in items
        if "TextValue" in item and item.ConceptNameCodeSequence[0].CodeValue == CASE_KEY.value
    )


def states(site: LiveSite) -> dict[str, list[State]]:
    found = defaultdict(list)
    for study in site.studies():
        found[study.study_uid].append(study.state)
    return found


def are_delivered(site: LiveSite, studies: Sequence[SmallStudy]) -> bool:
    known = states(site)
    return all(known[study.uid] == [State.DELIVERED] for study in studies)


def lose_the_machine(site: LiveSite) -> None:
    """Kill every process and remove the state folder."""
    for process in site.processes():
        process.kill()
    wait_until(lambda: not site.processes(), what="the end")
    shutil.rmtree(site.state)


@pytest.fixture
def service_manager(
    short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], list[bytes]]]:
    """Listen where systemd would; yield the function that returns the reports so far."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(short_folder / "notify"))
        listener.settimeout(0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(short_folder / "notify"))

        def read() -> list[bytes]:
            found = []
            with suppress(BlockingIOError):
                while True:
                    found.append(listener.recv(64))
            return found

        yield read


def wait_for_service_manager(reports_so_far: Callable[[], list[bytes]]) -> None:
    """Wait until systemd would know that the service is ready and its watchdog is served."""
    reports: list[bytes] = []

    def is_watched() -> bool:
        reports.extend(reports_so_far())
        return b"WATCHDOG=1" in reports

    wait_until(is_watched, what="the watchdog")
    assert reports.count(b"READY=1") == 1


def assert_cases_are_found(
    site: LiveSite, key: str, similar: SmallStudy, reported: Sequence[SmallStudy]
) -> None:
    """Resolve the key of a similar case in the report on the first of `reported`, and search."""
    resolved = run_triage("case", key, "--report", reported[0].uid, config=site.config)
    assert similar.uid in resolved.stdout, resolved.stderr
    search = run_triage("search", "Normal", "--count", "60", "--json", config=site.config)
    cases = {case["study_uid"] for case in json.loads(search.stdout)}
    assert {similar.uid, *(study.uid for study in reported)} <= cases


def test_a_lost_site_is_restored_and_answers_for_everything(
    short_folder: Path,
    tmp_path: Path,
    pacs: Orthanc,
    service_manager: Callable[[], list[bytes]],
) -> None:
    first, second = small_study(FIRST), small_study(SECOND)
    waiting = [small_study(number) for number in WAITING]
    model, file = {"bundle": str(DEMO_BUNDLE)}, tmp_path / "backup.tgz"
    drill = Drill(tmp_path / "sent")
    site = configure(short_folder / "a", pacs, model=model, findings=str(DEMO_FINDINGS))
    with serving(site):
        wait_for_service_manager(service_manager)
        wait_until(lambda: run_triage("health", config=site.config).returncode == 0, what="health")
        seed(site)
        for sent in ([first], [second]):
            drill.send(site, *sent)
            wait_until(partial(are_delivered, site, sent), 180)
        with drill.load(site):
            wait_until(lambda: len(drill.acknowledged) >= 4, 180, "the load")
            for study in waiting:
                drill.send(site, study)
            promised = [*drill.acknowledged]
            made = run_triage("backup", file, config=site.config)
            assert made.returncode == 0, made.stderr
            wait_until(lambda: are_delivered(site, waiting), 180)
        reported = sent_reports(pacs)
        key = key_in_report(pacs, second.uid)
        lose_the_machine(site)
    assert {*reported} == {study.uid for study in (first, second, *waiting)}

    settings = yaml.safe_load(site.config.read_text())
    there = configure(short_folder / "b", pacs, **{k: settings[k] for k in ("model", "findings")})
    done = run_triage("restore", file, config=there.config)
    assert done.returncode == 0, done.stderr
    assert "images of 2 delivered studies" in done.stdout
    before = states(there)
    assert {*promised} <= {*before}
    assert any(state not in ENDED for found in before.values() for state in found)
    with serving(there):
        wait_until(lambda: all(s in ENDED for found in states(there).values() for s in found), 180)
        ended = states(there)
        for study in (first, second, *waiting):
            assert ended[study.uid] == [State.DELIVERED]
        others = {*promised} - {*reported}
        assert {state for uid in others for state in ended[uid]} == {State.DECLINED}
        for uid in reported:  # the PACS sends again, as `triage restore` asks
            assert storescu(there, drill.files[uid]).wait(300) == 0
        assert_cases_are_found(there, key, first, [second, *waiting])
        assert states(there) == ended
        assert sent_reports(pacs) == reported
    assert all(len(uids) == 1 for uids in reported.values())
