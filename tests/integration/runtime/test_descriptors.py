"""The limit of descriptors, checked in a child process, as a limit cannot be raised again."""

import subprocess
import sys

import pytest

from triage.config import Settings
from triage.runtime.descriptors import count_receiving

CHILD = """
import resource, sys
from triage.config import Settings
from triage.runtime.descriptors import require_descriptors
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
require_descriptors(Settings())
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def start(soft: int, hard: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CHILD, str(soft), str(hard)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_low_limit_is_raised_as_far_as_needed() -> None:
    needed = count_receiving(Settings())
    assert int(start(256, 4096).stdout) == needed
    assert int(start(2048, 4096).stdout) == 2048


def test_a_limit_that_cannot_be_raised_is_an_error_that_names_the_setting() -> None:
    assert "set LimitNOFILE=" in start(256, 256).stderr


@pytest.mark.parametrize("stow", [None, {"senders": {"MR1": {"certificates": ["mr1"]}}}])
def test_the_receiving_process_stays_below_what_select_supports(
    stow: dict[str, object] | None,
) -> None:
    tls = {"port": 2762, "certificate": "a.pem", "key": "a.key", "clients": "ca.pem"}
    stow = stow and {**stow, "certificate": "a.pem", "key": "a.key", "clients": "ca.pem"}
    settings = Settings.model_validate(
        {"receiver": {"tls": tls, "stow": stow}, "metrics": {"port": 9100}}
    )
    assert count_receiving(settings) < 1024  # the client of pynetdicom calls `select`
