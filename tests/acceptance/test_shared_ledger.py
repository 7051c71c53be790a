"""The main job with a ledger on PostgreSQL that starts late and restarts."""

import threading
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.acceptance.site import configure, send_in_three_associations, serving
from tests.integration.postgres import Postgres, postgres
from tests.integration.servers import Orthanc
from tests.peers import real_data
from tests.waiting import wait_until
from triage.domain.study import State

WAITING = "waiting for the ledger"


@pytest.fixture(scope="module")
def files() -> list[Path]:
    return sorted(real_data("siemens_vida_cine/patient1").rglob("*.dcm"))


@pytest.fixture
def own_server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


def test_a_study_is_delivered_once_although_the_server_restarts(
    own_server: Postgres, pacs: Orthanc, files: list[Path], tmp_path: Path
) -> None:
    site = configure(tmp_path, pacs, ledger=own_server.new_database())
    own_server.stop()

    def start_late() -> None:
        wait_until(lambda: WAITING in site.log(), what="a worker that waits for its ledger")
        own_server.start()

    late = threading.Thread(target=start_late)  # a machine starts, and the worker before it
    late.start()
    with serving(site):
        late.join()
        send_in_three_associations(site, files)
        wait_until(lambda: len(site.studies()) == 1, what="a study")
        own_server.stop()
        time.sleep(2)
        own_server.start()
        study = site.wait_for_end()
        time.sleep(3)  # a second report would arrive now
        assert (study.state, study.revision, study.instances) == (State.DELIVERED, 1, 275)
        reports = pacs.reports()
        assert len(reports) == 1
        first = dcmread(files[0], stop_before_pixels=True)
        assert dcmread(BytesIO(reports[0])).StudyInstanceUID == first.StudyInstanceUID
        assert len(site.studies()) == 1
    log = site.log()
    for secret in (str(first.PatientName), str(first.PatientID)):
        assert secret not in log
