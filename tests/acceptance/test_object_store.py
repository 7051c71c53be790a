"""An object store that goes away while a study arrives, and while it waits for a worker."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.acceptance.site import LiveSite, configure, serving, storescu
from tests.integration.command_line import run_triage
from tests.integration.object_store import BUCKET, ObjectStore, object_store
from tests.integration.servers import Orthanc
from tests.waiting import wait_until
from triage.cli.demo_site import REAL_STUDY
from triage.domain.study import State
from triage.pipeline.backpressure import NoticeFile

FILES = sorted(REAL_STUDY.rglob("*.dcm"))
JPEG_LS = "-xt"
QUIET_S = 30


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    (tmp_path / "store").mkdir()
    with object_store(tmp_path / "store") as server:
        yield server


@pytest.fixture
def site(tmp_path: Path, pacs: Orthanc, store: ObjectStore) -> LiveSite:
    running = configure(
        tmp_path / "site", pacs, spool=store.content(), worker={"lease_s": 3, "max_attempts": 1}
    )
    content = yaml.safe_load(running.config.read_text())
    content["receiver"] |= {"quiet_s": QUIET_S}
    running.config.write_text(yaml.safe_dump(content))
    return running


def send(site: LiveSite, files: list[Path]) -> int:
    return storescu(site, files, JPEG_LS).wait(120)


def tries(site: LiveSite) -> int:
    """Return how often a worker found that the images cannot be read."""
    ledger = site.ledger()
    try:
        history = ledger.history(site.studies()[0].study_uid)
        return sum("does not answer" in row.reason for row in history)
    finally:
        ledger.close()


def test_during_an_outage_senders_are_refused_and_everything_is_delivered_afterwards(
    site: LiveSite, store: ObjectStore, pacs: Orthanc
) -> None:
    half = len(FILES) // 2
    with serving(site):
        assert send(site, FILES[:half]) == 0
        store.pause()
        assert send(site, FILES[half:]) != 0
        notice = NoticeFile(site.state)
        wait_until(lambda: "does not answer" in (notice.read() or ""), what="the notice")
        assert site.studies()[0].instances == half  # nothing was promised that is not there
        store.go_on()
        wait_until(lambda: notice.read() is None, what="its end")
        assert send(site, FILES) == 0
        assert site.studies()[0].state is State.RECEIVING
        # It is gone when a worker begins, and for longer than a study has attempts (max_attempts).
        store.stop()
        wait_until(lambda: tries(site) >= 2, 90, "two tries")
        said = f"s3://{BUCKET}/triage/ at {store.endpoint} does not answer"
        assert f"not receiving: {said}" in run_triage("status", config=site.config).stderr
        checked = run_triage("check", config=site.config)
        assert (checked.returncode, said in checked.stderr) == (2, True)
        store.start()
        ended = site.wait_for_end()
        assert (ended.state, ended.revision) == (State.DELIVERED, 1), site.log()
        assert ended.instances == len(FILES)
        time.sleep(3)  # a second report would arrive now
        assert len(pacs.reports()) == 1
    assert len(store.keys("triage/spool/")) == len(FILES)
    assert list(site.state.rglob("*.dcm")) == []
    assert list((site.state / "spool" / "incoming").iterdir()) == []
