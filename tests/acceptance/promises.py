"""Checks of acknowledged instances: none is lost and none is doubled, in a flood and after kills.

The functions print their figures; the calling test judges them.
"""

import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.acceptance.floods import RESTARTED_S, Flood, Flooded, spooled


@dataclass(frozen=True)
class Verdict:
    """The result for all instances that were answered with Success."""

    instances: int
    lost: int  #: not on disk with equal bytes
    unknown: int  #: not in the ledger
    doubled: int  #: files or rows beyond one for each instance

    @property
    def holds(self) -> bool:
        return self.lost == self.unknown == self.doubled == 0

    def __str__(self) -> str:
        return f"{self.lost} lost, {self.unknown} not in the ledger, {self.doubled} doubled"


def flood(receiver: Flooded, folder: Path, count: int, batch: int) -> Verdict:
    """Send so many instances at eight associations, in batches of one association each."""
    receiver.measure()
    before_mb = receiver.peak_mb
    with Flood(receiver.port, folder, batch, count) as sending:
        taken = sending.join()
    receiver.measure()
    verdict = _judged(receiver, sending.answered)
    _print(
        f"fast: {receiver.fast}; {sending.in_words()} in {taken:.0f} s",
        f"{verdict.instances / taken:.0f} instances a second, their senders' own time included",
        f"{verdict}; at most {receiver.peak_mb:.0f} MB held, {before_mb:.0f} MB before",
    )
    return verdict


@dataclass(frozen=True)
class Kills:
    """When the receiver is killed."""

    count: int
    seed: int
    apart_s: float  #: at most, between the first answer and the kill

    def moments(self) -> Iterator[float]:
        """Yield how long it lives each time from its first answer on; seconds."""
        chance = random.Random(self.seed)
        yield from (chance.uniform(0, self.apart_s) for _ in range(self.count))


def flood_and_kill(receiver: Flooded, folder: Path, batch: int, kills: Kills) -> Verdict:
    """Kill the receiver at random moments, while eight associations send, and start it again.

    After each kill, what was promised until then is looked for on disk and in the ledger.
    """
    promised, broken = set[int](), Verdict(0, 0, 0, 0)
    with Flood(receiver.port, folder, batch) as sending:
        for moment in kills.moments():
            sending.wait_for_an_answer()
            time.sleep(moment)
            receiver.kill()
            more = sending.promised() - promised
            broken = replace(
                broken,
                lost=broken.lost + _lost(receiver, more),
                unknown=broken.unknown + _unknown(receiver, more),
            )
            promised |= more
        sending.enough()
        taken = sending.join()
    receiver.measure()
    verdict = _judged(receiver, sending.answered)
    _print(
        f"fast: {receiver.fast}; seed {kills.seed}; {kills.count} kills in {taken:.0f} s",
        f"{sending.in_words()}, {len(promised)} of them promised before a kill",
        f"looked for after each kill: {broken}",
        f"in the end: {verdict}; {receiver.left_aside()} files were never promised",
        f"at most {receiver.peak_mb:.0f} MB held",
    )
    return replace(
        verdict, lost=verdict.lost + broken.lost, unknown=verdict.unknown + broken.unknown
    )


def _judged(receiver: Flooded, answered: set[int]) -> Verdict:
    """Compare disk and ledger with what was answered, when everything was."""
    expected = {spooled(number) for number in answered}
    known, files = receiver.known(), receiver.files()
    doubled = len(files - expected) + len(known - expected) + receiver.rows() - len(known)
    return Verdict(len(answered), _lost(receiver, answered), len(expected - known), doubled)


def _lost(receiver: Flooded, answered: Iterable[int]) -> int:
    return sum(not receiver.has(number) for number in answered)


def _unknown(receiver: Flooded, answered: Iterable[int]) -> int:
    """Return how many the ledger does not know when the receiver had time to recover."""
    expected = {spooled(number) for number in answered}
    until = time.monotonic() + RESTARTED_S
    while (missing := expected - receiver.known()) and time.monotonic() < until:
        time.sleep(0.5)
    return len(missing)


def _print(*lines: str) -> None:
    print("\n  ".join(("", *lines)))
