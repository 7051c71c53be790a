"""`triage prune`, retention in `triage receive`, and recovery after kill -9 during a removal."""

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from tests.builders.ended import IMAGES, WorkerWithStudies
from tests.builders.images import image, part10, uid
from tests.contract.ledgers import SOURCE
from tests.integration.command_line import run_triage
from tests.waiting import HOST, listens, wait_until
from triage.cli.demo_site import find_free_port
from triage.domain.errors import StudyBeingRemoved
from triage.domain.retention import RetentionLimits
from triage.domain.study import State
from triage.runtime.clock import SystemClock

STUDIES = ("first", "second", "third")
#: Removes everything, and is killed at the moment that its argument names.
KILLED = """
    import os, signal, sys
    from pathlib import Path
    from tests.builders.ended import WorkerWithStudies
    from triage.runtime.clock import SystemClock
    from triage.domain.retention import RetentionLimits
    from triage.store.database import Database
    from triage.store import retention, spool

    folder, moment = Path(sys.argv[1]), sys.argv[2]
    retention.AT_ONCE = 2
    worker = WorkerWithStudies(folder, SystemClock())
    left = {"files": 4}

    def killed(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    def unlink(path, missing_ok=False):
        left["files"] -= 1
        if left["files"] == 0:
            killed()
        os.unlink(path)

    if moment == "before the first mark":
        worker.retention.mark_for_removal = killed
    elif moment == "after the first mark":
        worker.retention.remove_images = killed
    elif moment == "between two files":
        Path.unlink = unlink
    elif moment == "after files and before their rows":
        retention.delete = killed
    elif moment == "after some rows, and before the last mark":
        remember, retention._add_history = retention._add_history, killed
    elif moment == "after the last mark":
        mark = worker.retention.mark_for_removal
        worker.retention.mark_for_removal = lambda uids: mark(uids[:1])
        worker.retention.list_with_products = killed
    worker.pruner(RetentionLimits(delivered_s=0, products_s=1e9)).prune()
"""
MOMENTS = (
    "before the first mark",
    "after the first mark",
    "between two files",
    "after files and before their rows",
    "after some rows, and before the last mark",
    "after the last mark",
)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerWithStudies]:
    made = WorkerWithStudies(tmp_path / "state", SystemClock())
    for study in STUDIES:
        made.end(study, State.DELIVERED)
    made.receive("arriving")
    yield made
    made.close()


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_removal_killed_at_any_moment_is_completed_by_the_next_run(
    worker: WorkerWithStudies, moment: str
) -> None:
    script = textwrap.dedent(KILLED)
    command = [sys.executable, "-c", script, str(worker.folder), moment]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert worker.intake.recover() == 0  # the ledger knows every file of the spool
    whole = [s for s in STUDIES if not worker.latest(s).pruned_at]
    assert all(worker.files(study) == IMAGES for study in whole)
    assert (whole == [*STUDIES]) == (moment == "before the first mark")
    worker.pruner(
        RetentionLimits()
    ).prune()  # as at the next start, also if the site has no limit any more
    half = [
        s for s in STUDIES if 0 < worker.files(s) + len(worker.ledger.list_paths(uid(s), 1)) < 6
    ]
    assert half == []
    worker.pruner(RetentionLimits(delivered_s=0)).prune()
    for study in STUDIES:
        assert worker.files(study) == 0
        assert worker.ledger.list_paths(uid(study), 1) == []
        events = [row.event for row in worker.ledger.history(uid(study))]
        assert events.count("images removed") == 1
    assert worker.files("arriving") == IMAGES
    assert worker.retention.list_marked() == []
    assert worker.receive("first").instances == IMAGES


def site(folder: Path, **retention: object) -> Path:
    """Write the settings of a site whose state folder is the worker's."""
    port = find_free_port()
    content = {
        "state_dir": "state",
        "receiver": {"ae_title": "TRIAGE", "port": port, "calling": ["PACS"]},
        "destinations": [
            {"name": "pacs", "ae_title": "PACS", "host": HOST, "port": find_free_port()}
        ],
        "retention": retention,
    }
    config = folder / "triage.yaml"
    config.write_text(yaml.safe_dump(content))
    return config


def run_command(config: Path, *arguments: str) -> str:
    done = run_triage(*arguments, config=config)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_shows_removals_and_then_removes(
    worker: WorkerWithStudies, tmp_path: Path
) -> None:
    assert "sets no limit" in run_command(site(tmp_path), "prune")
    config = site(tmp_path, spool_days=1e-6)
    time.sleep(0.1)
    shown = run_command(config, "prune", "--dry-run")
    assert "To be removed" in shown
    assert shown.count("images") == len(STUDIES)
    assert "MB in all" in shown
    assert [worker.files(study) for study in STUDIES] == [IMAGES] * 3
    assert "Removed" in run_command(config, "prune")
    assert [worker.files(study) for study in STUDIES] == [0] * 3
    assert "no data is beyond the limits" in run_command(config, "prune")


def test_the_receiver_removes_and_completes_an_interrupted_removal(
    worker: WorkerWithStudies, tmp_path: Path
) -> None:
    assert worker.mark("first")
    config = site(tmp_path, failed_days=1, every_s=0.5)
    log = tmp_path / "receive.log"
    command = [sys.executable, "-m", "triage", "--config", str(config), "receive"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
        try:
            port = yaml.safe_load(config.read_text())["receiver"]["port"]
            wait_until(lambda: listens(port), what="the receiver")
            wait_until(lambda: worker.files("first") == 0, what="the removal")
        finally:
            process.terminate()
            assert process.wait(30) == 0
    assert worker.files("second") == IMAGES  # no limit applies to it
    assert uid("first") in log.read_text()
    assert "Marked" not in log.read_text()


def test_no_image_is_lost_when_a_study_is_sent_during_its_removal(tmp_path: Path) -> None:
    """A sender repeats until Success while another process removes every ended study."""
    with closing(WorkerWithStudies(tmp_path, SystemClock())) as worker:
        worker.end("study", State.DELIVERED)
        script = textwrap.dedent("""
            import sys
            from pathlib import Path
            from tests.builders.ended import WorkerWithStudies
            from triage.runtime.clock import SystemClock
            from triage.domain.retention import RetentionLimits

            worker = WorkerWithStudies(Path(sys.argv[1]), SystemClock())
            pruner = worker.pruner(RetentionLimits(delivered_s=0))
            print("ready", flush=True)
            while True:
                pruner.prune()
        """)
        command = [sys.executable, "-c", script, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as removing:
            try:
                assert removing.stdout is not None
                assert removing.stdout.readline() == b"ready\n"
                for _ in range(5):
                    _sent_until_taken(worker)
                    assert worker.files("study") == IMAGES
                    worker.end("study", State.DELIVERED)
                    wait_until(lambda: worker.files("study") == 0, what="the removal")
            finally:
                removing.kill()


def _sent_until_taken(worker: WorkerWithStudies) -> None:
    """Send the study until all its images are in an open revision, which is never removed."""
    whole = False
    while not whole:
        for number in range(IMAGES):
            try:
                worker.intake.accept(part10(image("study", number=number)), SOURCE)
            except StudyBeingRemoved:
                worker.intake.catch_up()
        known = len(worker.ledger.list_paths(uid("study"), 99))
        whole = worker.latest("study").state is State.RECEIVING and known == IMAGES
