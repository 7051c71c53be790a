"""100,000 instances at eight associations, and twenty kills: what was promised is there, once.

Rule: the judgement is that of tests/acceptance/test_flood.py; here it is in full, with figures.
"""

import random
import sys
from pathlib import Path

import pytest

from tests.acceptance.floods import flooded
from tests.acceptance.promises import Kills, flood, flood_and_kill

INSTANCES, BATCH = 100_000, 1000
KILLS, APART_S = 20, 5.0
WAYS = [pytest.param(True, id="fast"), pytest.param(False, id="plain")]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("fast", WAYS)
def test_100_000_instances_are_kept_once_and_whole(tmp_path: Path, *, fast: bool) -> None:
    with flooded(tmp_path / "receiver", fast=fast) as receiver:
        verdict = flood(receiver, tmp_path / "sent", INSTANCES, BATCH)
    assert verdict.instances == INSTANCES
    assert verdict.holds, verdict


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("fast", WAYS)
def test_20_kills_lose_nothing_that_was_promised(tmp_path: Path, *, fast: bool) -> None:
    kills = Kills(KILLS, random.randrange(sys.maxsize), APART_S)
    with flooded(tmp_path / "receiver", fast=fast) as receiver:
        verdict = flood_and_kill(receiver, tmp_path / "sent", BATCH // 4, kills)
    assert verdict.instances > 0
    assert verdict.holds, verdict
