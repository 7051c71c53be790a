"""`triage forget` that is killed in its middle, and run again."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydicom import Dataset

from tests.integration.command_line import run_triage
from triage.cases.keys import patient_key
from triage.config import load
from triage.domain.case import Case
from triage.model.bundle import open_bundle
from triage.runtime.clock import SystemClock
from triage.runtime.paths import state_folder
from triage.runtime.storage import open_past_cases
from triage.store.ledger import SqlLedger

#: Forgets a patient as the command does, and is killed when the named method is called.
KILLED = """
    import os, signal, sys
    from pathlib import Path
    from triage.config import load
    from triage.pipeline.forget_patient import ForgetRequest
    from triage.runtime.cases import build_patient_forgetter
    from triage.store.fittings import SqlFittings
    from triage.store.ledger import SqlLedger
    from triage.store.library import ExactLibrary

    def killed(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    moment, study = sys.argv[2:]
    forgetter = build_patient_forgetter(load(Path(sys.argv[1])))
    if moment == "before the cases":
        ExactLibrary.forget_patient = killed
    elif moment == "after the cases":
        SqlFittings.forget_patient = killed
    elif moment == "before the incident":
        SqlLedger.report_incident = killed
    request = ForgetRequest(study_uid=study) if study else ForgetRequest("4711")
    forgetter.forget(request, "anna")
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return the settings of a site with two cases of one patient and one of another."""
    path = tmp_path / "triage.yaml"
    path.write_text(yaml.safe_dump({"state_dir": "state"}))
    settings = load(path, {})
    SqlLedger.in_folder(state_folder(settings), SystemClock()).close()
    past = open_past_cases(settings, open_bundle(settings.model.bundle))
    header = Dataset()
    header.PatientID = "4711"
    width = open_bundle(settings.model.bundle).manifest.sizes.embedding
    for number, patient in enumerate([patient_key(past.secret, header)] * 2 + ["another"]):
        embedding = np.eye(width, dtype=np.float32)[number]
        past.library.add(Case(f"1.2.{number}", patient), embedding)
    return path


@pytest.mark.parametrize("study", ["", "1.2.0"])
@pytest.mark.parametrize("moment", ["before the cases", "after the cases", "before the incident"])
def test_a_killed_removal_is_completed_by_the_same_command(
    config: Path, moment: str, study: str
) -> None:
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(config), moment, study]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    arguments = ["--study", study] if study else ["4711"]
    shown = run_triage("forget", *arguments, config=config)
    assert shown.returncode == 0, shown.stderr
    interrupted, total = shown.stdout.splitlines()
    removed_before = 0 if moment == "before the cases" else 2
    assert interrupted.startswith("an earlier run was interrupted; this run completed it")
    assert f"{removed_before} case(s) that the earlier run had removed" in interrupted
    assert total == "2 case(s) removed"
    settings = load(config, {})
    past = open_past_cases(settings, open_bundle(settings.model.bundle))
    assert list(past.library.list_study_uids()) == ["1.2.2"]
    assert run_triage("forget", "4711", config=config).stdout == "0 case(s) removed\n"
