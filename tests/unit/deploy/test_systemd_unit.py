import re
from configparser import ConfigParser
from pathlib import Path

from annotated_types import Le

from tests.unit.deploy.files import DEPLOY, understand
from triage.__main__ import OWNER_ONLY, USAGE
from triage.broker import embedded
from triage.config import Settings
from triage.domain.health import BEAT_S
from triage.runtime.supervisor import END_S


def service() -> dict[str, str]:
    unit = ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "triage.service", encoding="utf-8")
    return dict(unit["Service"])


def test_the_unit_starts_what_the_command_line_knows() -> None:
    program, *arguments = service()["ExecStart"].split()
    assert Path(program).name == "triage"
    understand(arguments)
    assert arguments[-1] == "serve"


def test_the_unit_waits_until_the_supervisor_has_ended_its_parts_and_redis() -> None:
    assert float(service()["TimeoutStopSec"]) > END_S + embedded.START_S
    assert service()["KillMode"] == "mixed"


def test_wrong_settings_do_not_end_in_a_restart_loop() -> None:
    assert service()["Restart"] == "on-failure"
    assert int(service()["RestartPreventExitStatus"]) == USAGE


def test_the_unit_is_ready_when_it_listens_and_restarted_when_it_is_silent() -> None:
    wanted = {"Type": "notify", "NotifyAccess": "all", "TimeoutStartSec": "infinity"}
    assert wanted.items() <= service().items()
    assert float(service()["WatchdogSec"]) > 10 * BEAT_S


def test_the_unit_bounds_memory_tasks_and_descriptors_and_outlives_a_process_without_memory() -> (
    None
):
    limits = service()
    share = re.fullmatch(r"(\d+)%", limits["MemoryMax"])
    assert share is not None
    assert 50 <= int(share[1]) < 100
    assert limits["OOMPolicy"] == "continue"
    most = largest("receiver", "associations")
    assert int(limits["TasksMax"]) > 2 * most
    assert int(limits["LimitNOFILE"]) > 10 * most


def largest(part: str, name: str) -> int:
    """Return the largest value that a setting may have."""
    field = type(getattr(Settings(), part)).model_fields[name]
    (most,) = (limit.le for limit in field.metadata if isinstance(limit, Le))
    return int(str(most))


def test_the_unit_is_shut_in() -> None:
    wanted = {
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "StateDirectory": "cmr-triage",
        "StateDirectoryMode": "0700",
        "CapabilityBoundingSet": "",
    }
    assert wanted.items() <= service().items()
    assert int(service()["UMask"], 8) == OWNER_ONLY
