"""2,000 small studies as fast as they are taken; the archive refuses a tenth, and is down a minute.

Rule: what came is counted at the archive. The memory of every process of the site is measured all
the while, and its slope is printed over the studies that were delivered meanwhile.
"""

import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.acceptance.crashes import flaky_archive
from tests.acceptance.crashes.load import StudyLoad, Sum, is_through
from tests.acceptance.crashes.surroundings import Surroundings, surroundings
from tests.waiting import HOST, listens, wait_until
from triage.broker.queue import CeleryQueue
from triage.cli.demo_site import find_free_port
from triage.runtime.model import DEMO_BUNDLE

STUDIES = 2000
DOWN_S = 60.0
THROUGH_S = 5400.0
EVERY_S = 5.0  #: between two measurements of memory
SETTLED = 0.2  #: of the way, until what is opened once is open
FLAT_MB = 10.0  #: for a thousand studies
DISK_BYTES = 3_000_000_000
MB = 1e6


@dataclass
class Flaky:
    """The archive; `reports` are what it has taken, by Study UID."""

    taken: Path
    port: int = field(default_factory=find_free_port)
    _process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        command = [sys.executable, "-m", flaky_archive.__name__, str(self.port), str(self.taken)]
        self._process = subprocess.Popen(command)
        wait_until(lambda: listens(self.port), what="the archive")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def reports(self) -> Counter[str]:
        """Return how many different instances it has of each study."""
        lines = set(self.taken.read_text().splitlines()) if self.taken.exists() else set()
        return Counter(line.split()[0] for line in lines)


@dataclass
class Memory:
    """What the processes of a site hold, over the studies that the archive has."""

    around: Surroundings
    archive: Flaky
    held: dict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    _ended: threading.Event = field(default_factory=threading.Event)

    def measure(self) -> None:
        while not self._ended.wait(EVERY_S):
            studies = len(self.archive.reports())
            for process in self.around.site.processes():
                with suppress(psutil.NoSuchProcess):
                    name = f"{_name(process)} ({process.pid})"
                    self.held[name].append((studies, process.memory_info().rss / MB))

    def end(self) -> None:
        self._ended.set()

    def slopes(self) -> Iterator[tuple[str, float, float, float]]:
        """Yield name, MB at first and at last, and MB for a thousand studies, once settled."""
        for name, measured in self.held.items():
            settled = [each for each in measured if each[0] > SETTLED * STUDIES]
            if len({studies for studies, _ in settled}) > 1:
                studies, held = np.array(settled).T
                slope = float(np.polyfit(studies, held, 1)[0]) * 1000
                yield name, held[0], held[-1], slope


def _name(process: psutil.Process) -> str:
    command = process.cmdline()
    words = ("serve", "receive", "assess", "deliver", "index", "web")
    return next((word for word in words if word in command), Path(command[0]).name)


@contextmanager
def soaked(folder: Path) -> Iterator[tuple[Surroundings, Flaky, Memory]]:
    """Run a site with a flaky archive, and measure it, until the block ends."""
    archive = Flaky(folder / "taken.txt")
    archive.start()
    destination = {"name": "flaky", "ae_title": flaky_archive.AE_TITLE, "host": HOST}
    with surroundings(
        folder,
        quiet_s=1.0,
        disk_bytes=DISK_BYTES,
        destinations=[{**destination, "port": archive.port, "timeout_s": 5}],
        model={"bundle": str(DEMO_BUNDLE)},
        worker={"lease_s": 3},
    ) as around:
        memory = Memory(around, archive)
        measuring = threading.Thread(target=memory.measure)
        measuring.start()
        try:
            yield around, archive, memory
        finally:
            memory.end()
            measuring.join()
            archive.kill()


@pytest.mark.timeout(7200)
def test_soak(tmp_path: Path) -> None:
    began = time.monotonic()
    with soaked(tmp_path) as (around, archive, memory):
        with StudyLoad(around.to_site.port, STUDIES) as load:
            wait_until(lambda: len(archive.reports()) > STUDIES // 4, THROUGH_S, "a quarter")
            archive.kill()
            time.sleep(DOWN_S)
            archive.start()
        sent_s = time.monotonic() - began
        wait_until(lambda: is_through(around.site, load), THROUGH_S, "the end of every study")
        taken_s = time.monotonic() - began
        came_to = Sum.of(around.site, load, archive.reports())
        queue = CeleryQueue(f"unix://{around.site.state}/redis/redis.sock")
        waiting = queue.count_waiting("assess") + queue.count_waiting("deliver")
        queue.close()
    print(f"\n{came_to}\nall sent in {sent_s:.0f} s, all delivered in {taken_s:.0f} s")
    slopes = list(memory.slopes())
    for name, first, last, slope in slopes:
        print(f"{name:24} {first:6.0f} MB {last:6.0f} MB {slope:+7.2f} MB/1000 studies")
    assert came_to.studies == STUDIES
    assert came_to.holds
    assert waiting == 0
    assert all(slope < FLAT_MB for *_, slope in slopes)
