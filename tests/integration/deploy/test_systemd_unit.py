import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

from tests.peers import peer
from tests.unit.deploy.files import DEPLOY, text


def service() -> dict[str, str]:
    unit = ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "triage.service", encoding="utf-8")
    return dict(unit["Service"])


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    program = service()["ExecStart"].split()[0]
    unit = tmp_path / "cmr-triage.service"
    unit.write_text(text("triage.service").replace(program, sys.executable), encoding="utf-8")
    command = [peer("systemd-analyze"), "verify", str(unit)]
    verdict = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not [line for line in verdict.stderr.splitlines() if unit.name in line]
    assert verdict.returncode == 0
