"""What survives kill -9: of a worker, of Redis and its data, of everything at once."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.acceptance.site import Site, configure, serving, storescu
from tests.integration.servers import Orthanc, orthanc, wait_until
from triage.broker.queue import CeleryQueue
from triage.demo import REAL_STUDY
from triage.domain.errors import BrokerUnavailable
from triage.domain.study import State

FILES = sorted(REAL_STUDY.rglob("*.dcm"))
JPEG_LS = "-xt"


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[Orthanc]:
    with orthanc(tmp_path / "orthanc") as server:
        yield server


@pytest.fixture
def site(tmp_path: Path, pacs: Orthanc) -> Site:
    return configure(tmp_path / "site", pacs)


def send(site: Site) -> None:
    assert storescu(site, FILES, JPEG_LS).wait(60) == 0


def wait_for_state(site: Site, state: State) -> None:
    wait_until(lambda: any(s.state is state for s in site.studies()), 60, state)


def wait_for_task(site: Site, queue: str) -> None:
    """Wait until the broker holds a task."""
    broker = CeleryQueue(f"unix://{site.state}/redis/redis.sock")

    def holds_one() -> bool:
        try:
            return broker.waiting(queue) > 0
        except BrokerUnavailable:
            return False

    wait_until(holds_one, 60, f"a task in {queue}")
    broker.close()


def the_report_arrives_once(site: Site, pacs: Orthanc) -> None:
    assert site.wait_for_end().state is State.DELIVERED, site.log()
    time.sleep(3)  # a second report would arrive now
    assert len(pacs.reports()) == 1
    assert [study.revision for study in site.studies()] == [1]


def history(site: Site) -> list[str]:
    ledger = site.ledger()
    try:
        return [row.reason for row in ledger.history(site.studies()[0].study_uid)]
    finally:
        ledger.close()


def test_3_a_worker_killed_in_the_middle_of_an_assessment(site: Site, pacs: Orthanc) -> None:
    with serving(site):
        send(site)
        wait_for_state(site, State.ASSESSING)
        site.process("work", "assess").kill()
        assert site.studies()[0].state is State.ASSESSING
        the_report_arrives_once(site, pacs)
    assert any("fell silent, attempt 1 of 5" in reason for reason in history(site))


def test_3_redis_killed_and_its_data_wiped(site: Site, pacs: Orthanc) -> None:
    with serving(site):
        worker = site.process("work", "assess")
        worker.suspend()  # so that the task waits in Redis
        send(site)
        wait_for_task(site, "assess")
        site.process("redis-server").kill()
        shutil.rmtree(site.state / "redis" / "appendonlydir")
        worker.resume()
        the_report_arrives_once(site, pacs)


def test_3_redis_wiped_while_a_delivery_waits_in_it(site: Site, pacs: Orthanc) -> None:
    with serving(site):
        worker = site.process("work", "deliver")
        worker.suspend()
        send(site)
        wait_for_task(site, "deliver")
        site.process("redis-server").kill()
        shutil.rmtree(site.state / "redis" / "appendonlydir")
        worker.resume()
        the_report_arrives_once(site, pacs)


def test_3_worker_and_redis_killed_together_in_the_middle(site: Site, pacs: Orthanc) -> None:
    with serving(site):
        send(site)
        wait_for_state(site, State.ASSESSING)
        site.process("work", "assess").kill()
        site.process("redis-server").kill()
        shutil.rmtree(site.state / "redis" / "appendonlydir")
        the_report_arrives_once(site, pacs)


def test_3_everything_killed_at_once_and_started_again(site: Site, pacs: Orthanc) -> None:
    with serving(site):
        send(site)
        wait_for_state(site, State.ASSESSING)
        for process in site.processes():
            os.kill(process.pid, signal.SIGKILL)
    with serving(site):
        the_report_arrives_once(site, pacs)


def test_3_parts_end_themselves_when_the_supervisor_is_killed(site: Site) -> None:
    with serving(site) as supervisor:
        supervisor.kill()
        wait_until(
            lambda: not [p for p in site.processes() if "triage" in " ".join(p.cmdline())],
            30,
            "the end of the parts",
        )
        for orphan in site.processes():  # Redis waits for the next start, which adopts it
            assert "redis-server" in " ".join(orphan.cmdline())
            orphan.terminate()


def test_2_a_pacs_that_is_down_gets_its_report_when_it_is_back(tmp_path: Path, site: Site) -> None:
    """The destination of this site is an Orthanc that is ended before the study comes."""
    ended = configure(tmp_path / "other", _ended(tmp_path / "ended"))
    with serving(ended):
        send(ended)
        wait_for_state(ended, State.ASSESSED)
        wait_until(lambda: "tried again later" in ended.log(), 30, "a failed attempt")
        with orthanc(tmp_path / "back", _port(ended)) as back:
            the_report_arrives_once(ended, back)
    assert site.mark != ended.mark


def _ended(folder: Path) -> Orthanc:
    with orthanc(folder) as server:
        return server


def _port(site: Site) -> int:
    return int(yaml.safe_load(site.config.read_text())["destinations"][0]["port"])
