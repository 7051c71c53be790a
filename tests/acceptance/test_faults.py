"""Faults beyond the crash matrix: two at once, the supervisor alone, a PACS that is down."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.acceptance.site import LiveSite, configure, serving, storescu
from tests.integration.servers import Orthanc, orthanc
from tests.waiting import wait_until
from triage.cli.demo_site import REAL_STUDY
from triage.domain.study import State

FILES = sorted(REAL_STUDY.rglob("*.dcm"))
JPEG_LS = "-xt"


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[Orthanc]:
    with orthanc(tmp_path / "orthanc") as server:
        yield server


@pytest.fixture
def site(tmp_path: Path, pacs: Orthanc) -> LiveSite:
    return configure(tmp_path / "site", pacs)


def send(site: LiveSite) -> None:
    assert storescu(site, FILES, JPEG_LS).wait(300) == 0


def wait_for_state(site: LiveSite, state: State) -> None:
    wait_until(lambda: any(s.state is state for s in site.studies()), 60, state)


def the_report_arrives_once(site: LiveSite, pacs: Orthanc) -> None:
    assert site.wait_for_end().state is State.DELIVERED, site.log()
    time.sleep(3)  # a second report would arrive now
    assert len(pacs.reports()) == 1
    assert [study.revision for study in site.studies()] == [1]


def test_worker_and_redis_killed_together_during_an_assessment(
    site: LiveSite, pacs: Orthanc
) -> None:
    with serving(site):
        send(site)
        wait_for_state(site, State.ASSESSING)
        site.process("work", "assess").kill()
        site.process("redis-server").kill()
        shutil.rmtree(site.state / "redis" / "appendonlydir")
        the_report_arrives_once(site, pacs)


def test_all_parts_end_when_the_supervisor_is_killed(site: LiveSite) -> None:
    with serving(site) as supervisor:
        supervisor.kill()
        wait_until(
            lambda: not [p for p in site.processes() if "triage" in " ".join(p.cmdline())],
            what="the end of the parts",
        )
        for orphan in site.processes():  # Redis waits for the next start, which adopts it
            assert "redis-server" in " ".join(orphan.cmdline())
            orphan.terminate()


def test_a_pacs_that_was_down_gets_its_report(tmp_path: Path, site: LiveSite) -> None:
    """The destination of this site is an Orthanc that is ended before the study comes."""
    ended = configure(tmp_path / "other", _ended(tmp_path / "ended"))
    with serving(ended):
        send(ended)
        wait_for_state(ended, State.ASSESSED)
        wait_until(lambda: "tried again later" in ended.log(), what="a failed attempt")
        with orthanc(tmp_path / "back", _port(ended)) as back:
            the_report_arrives_once(ended, back)
    assert site.mark != ended.mark


def _ended(folder: Path) -> Orthanc:
    with orthanc(folder) as server:
        return server


def _port(site: LiveSite) -> int:
    return int(yaml.safe_load(site.config.read_text())["destinations"][0]["port"])
