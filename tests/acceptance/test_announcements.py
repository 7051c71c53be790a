"""A scanner announces what it has made: the study is taken when that is here (peers 1)."""

import time
from pathlib import Path

from pynetdicom import AE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ModalityPerformedProcedureStep,
)

from tests.acceptance.completeness import QUIET_S, site, status
from tests.acceptance.site import CALLED, CALLING, LiveSite, serving, storescu
from tests.builders.announcing import AnnouncingScanner, begun, ended
from tests.integration.servers import Orthanc
from tests.waiting import HOST, listens, wait_until
from triage.cli.demo_site import REAL_STUDY, read_study_uids
from triage.dicom.header import read_identity
from triage.dimse.association import CONNECTION_SETUP
from triage.dimse.statuses import ProcedureStepStatus
from triage.domain.study import State

FILES = sorted(REAL_STUDY.rglob("*.dcm"))


def says(site: LiveSite, what: str) -> int:
    """Have the step begin, or end, on an association of its own."""
    ae = AE(ae_title=CALLING)
    ae.add_requested_context(ModalityPerformedProcedureStep)
    association = ae.associate(HOST, site.port, ae_title=CALLED, evt_handlers=[CONNECTION_SETUP])
    scanner = AnnouncingScanner(association)
    if what == "begins":
        (study_uid,) = read_study_uids(FILES)
        answer = scanner.begins("1.2.3.4", begun(study_uid))
    else:
        uids = [read_identity(path.read_bytes()).sop_instance_uid for path in FILES]
        answer = scanner.changes("1.2.3.4", ended(uids))
    association.release()
    return answer


def test_a_study_is_complete_when_its_step_has_ended_and_all_instances_have_arrived(
    tmp_path: Path, pacs: Orthanc
) -> None:
    pacs.empty()
    running = site(tmp_path / "site", pacs, QUIET_S)
    with serving(running):
        assert says(running, "begins") == ProcedureStepStatus.SUCCESS
        assert storescu(running, FILES, "-xt").wait(300) == 0
        time.sleep(6)  # longer than what evidence has to settle
        (study,) = running.studies()
        assert study.state is State.RECEIVING, study.reason
        killed = running.process(" receive")
        killed.kill()
        wait_until(lambda: not killed.is_running(), what="the end of the receiver")
        wait_until(lambda: listens(running.port), what="the receiver")
        assert says(running, "ends") == ProcedureStepStatus.SUCCESS
        assert running.wait_for_end().state is State.DELIVERED, running.log()
        assert f"all {len(FILES)} announced instances are here" in status(running)
