"""Nothing that was answered with Success is lost or doubled, in a flood or by kill -9; in short.

tests/benchmarks/test_flood.py is the same in full.
"""

from pathlib import Path

import pytest

from tests.acceptance.floods import flooded
from tests.acceptance.promises import Kills, flood, flood_and_kill

INSTANCES, BATCH = 1000, 125
BATCH_WHILE_KILLED = 50
KILLS = Kills(count=3, seed=7, apart_s=1.0)
WAYS = [pytest.param(True, id="fast"), pytest.param(False, id="plain")]


def test_a_flood_from_two_kinds_of_senders_is_kept_once_and_whole(tmp_path: Path) -> None:
    with flooded(tmp_path / "receiver", fast=True) as receiver:
        verdict = flood(receiver, tmp_path / "sent", INSTANCES, BATCH)
    assert verdict.instances == INSTANCES
    assert verdict.holds, verdict


@pytest.mark.parametrize("fast", WAYS)
def test_a_killed_receiver_keeps_acknowledged_instances(tmp_path: Path, *, fast: bool) -> None:
    with flooded(tmp_path / "receiver", fast=fast) as receiver:
        verdict = flood_and_kill(receiver, tmp_path / "sent", BATCH_WHILE_KILLED, KILLS)
    assert verdict.instances > 0
    assert verdict.holds, verdict
