"""Faults that happen while a process is stopped at a step."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import closing

from tests.acceptance.crashes.surroundings import Surroundings
from tests.waiting import wait_until
from triage.broker.embedded import socket_path
from triage.broker.queue import CeleryQueue

OUT_S = 2.0  #: how long a destination, the network or the disk is away
DAY_S, HOUR_S = 86_400.0, 3600.0
DATABASE = "database killed"


#: Arguments: the surroundings, the id of the process that is stopped at the step, the Study UID.
Fault = Callable[[Surroundings, int, str], None]


def _it(_around: Surroundings, pid: int, _study: str) -> None:
    os.kill(pid, signal.SIGKILL)


def _receiver(around: Surroundings, _pid: int, _study: str) -> None:
    around.kill("receive")


def _assessor(around: Surroundings, _pid: int, _study: str) -> None:
    around.kill("work", "assess")


def _deliverer(around: Surroundings, _pid: int, _study: str) -> None:
    around.kill("work", "deliver")


def _redis(around: Surroundings, _pid: int, _study: str) -> None:
    around.kill_redis_and_what_it_has()


def _database(around: Surroundings, _pid: int, _study: str) -> None:
    around.kill_database()
    around.let_go()
    time.sleep(OUT_S)
    around.start_database()


def _everything(around: Surroundings, _pid: int, _study: str) -> None:
    around.kill_everything()
    around.start()


def _archive(around: Surroundings, _pid: int, _study: str) -> None:
    around.archive.kill()
    around.let_go()
    time.sleep(OUT_S)
    around.archive.start()


def _disk(around: Surroundings, _pid: int, _study: str) -> None:
    with around.full_disk():
        around.let_go()
        time.sleep(OUT_S)


def _network(around: Surroundings, _pid: int, _study: str) -> None:
    with around.no_network():
        around.let_go()
        time.sleep(OUT_S)


def _ahead(around: Surroundings, _pid: int, _study: str) -> None:
    around.shift_clock(DAY_S)


def _back(around: Surroundings, _pid: int, _study: str) -> None:
    around.shift_clock(-HOUR_S)


def _doubled(around: Surroundings, _pid: int, study: str) -> None:
    """Send every task of the study twice more, as a broker does after a lost confirmation."""
    socket = socket_path(around.site.state / "redis")
    wait_until(socket.exists, what="Redis")
    with closing(CeleryQueue(f"unix://{socket}")) as queue, closing(around.site.ledger()) as ledger:
        for _ in range(2):
            queue.enqueue_assessment(study, 1)
            for delivery in ledger.list_deliveries(study, 1):
                queue.enqueue_delivery(delivery.id)


FAULTS: Mapping[str, Fault] = {
    "it is killed": _it,
    "receiver killed": _receiver,
    "assessing worker killed": _assessor,
    "delivering worker killed": _deliverer,
    "Redis killed, its data gone": _redis,
    DATABASE: _database,
    "everything killed": _everything,
    "archive killed": _archive,
    "disk full": _disk,
    "network cut": _network,
    "clock a day ahead": _ahead,
    "clock an hour back": _back,
    "tasks doubled": _doubled,
}
