"""How many instances a ledger records a second, on SQLite and on PostgreSQL, in one run.

pytest --override-ini addopts= -s tests/benchmarks/test_ledger.py

A receiver's associations record one instance at a time each, as they come; those of one process
share their transactions. On PostgreSQL also from two processes, as with receivers on two machines.
The server syncs its log at each commit, SQLite at its checkpoints (`store.database`).
"""

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from tests.contract.ledgers import SOURCE, numbered_receipt
from tests.integration.postgres import Postgres, postgres
from triage.runtime.clock import SystemClock
from triage.store.database import Database
from triage.store.ledger import SqlLedger

INSTANCES = 400  #: of an association
ASSOCIATIONS = (1, 4, 16)
RECEIVERS = 2


def send(ledger: SqlLedger, study: int) -> None:
    for number in range(INSTANCES):
        ledger.record_instance(numbered_receipt(f"2.25.{study}", number), SOURCE)


def receive(url: str, first: int, associations: int, gate: Barrier | None = None) -> float:
    """Record a study by each of the associations at once; return how long it took, in seconds."""
    ledger = SqlLedger(Database(url), SystemClock())
    if gate is not None:
        gate.wait(60)
    begun = time.perf_counter()
    with ThreadPoolExecutor(associations) as pool:
        list(pool.map(lambda each: send(ledger, first + each), range(associations)))
    took = time.perf_counter() - begun
    assert len(ledger.list_known_paths()) >= INSTANCES * associations
    ledger.close()
    return took


GATE: Barrier | None = None  #: of the processes that begin together


def remember(gate: Barrier) -> None:
    global GATE  # noqa: PLW0603 - a barrier is handed to a process when it starts
    GATE = gate


def receive_with_others(url: str, first: int, associations: int) -> float:
    return receive(url, first, associations, GATE)


@pytest.mark.timeout(1200)
def test_instances_recorded_a_second(tmp_path: Path) -> None:
    print("\nassociations    SQLite    PostgreSQL    PostgreSQL, two receivers")
    with postgres() as server:
        server.set("fsync", "on")
        for associations in ASSOCIATIONS:
            file = f"sqlite:///{tmp_path / f'{associations}.sqlite'}"
            rates = [INSTANCES * associations / receive(file, 1, associations)]
            rates.append(INSTANCES * associations / receive(server.new_database(), 1, associations))
            rates.append(from_two(server, associations))
            print(f"{associations:12} {rates[0]:9.0f} {rates[1]:13.0f} {rates[2]:28.0f}")


def from_two(server: Postgres, associations: int) -> float:
    """Return the rate of two processes together, each with as many associations."""
    url = server.new_database()
    Database(url).close()
    spawn = multiprocessing.get_context("spawn")
    gate = spawn.Barrier(RECEIVERS)
    with ProcessPoolExecutor(RECEIVERS, spawn, remember, (gate,)) as pool:
        firsts = [1 + 100 * each for each in range(RECEIVERS)]
        counts = [associations] * RECEIVERS
        took = list(pool.map(receive_with_others, [url] * RECEIVERS, firsts, counts))
    return RECEIVERS * INSTANCES * associations / max(took)
