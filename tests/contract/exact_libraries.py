"""Case libraries in files, and processes that add to one."""

import multiprocessing
import random
import time
from pathlib import Path

import numpy as np

from triage.domain.case import Case, Filter
from triage.ports.encoder import Embedding
from triage.store.database import Database
from triage.store.library import ExactLibrary

WIDTH = 16
BUNDLE, OTHER = "a" * 64, "b" * 64


def vector(seed: int) -> Embedding:
    drawn = np.random.default_rng(seed).standard_normal(WIDTH).astype(np.float32)
    return drawn / np.float32(np.linalg.norm(drawn))


def opened(folder: Path, bundle: str = BUNDLE) -> ExactLibrary:
    database = Database(f"sqlite:///{folder / 'ledger.sqlite'}")
    return ExactLibrary(database, folder / "cases", bundle, WIDTH)


def add_for(seconds: float, folder: Path, name: str) -> None:
    library, number, until = opened(folder), 0, time.monotonic() + seconds
    while time.monotonic() < until:
        library.add(Case(f"{name}.{number}", name), vector(number))
        (folder / f"{name}.log").write_text(f"{number}\n")
        number += 1


def look_while_two_add(folder: Path, seconds: float) -> tuple[int, int]:
    """Search while two processes add, always for their newest case and for any older one.

    Returns how often it was looked, and how many cases there are in the end.
    """
    library, rng = opened(folder), random.Random(0)
    spawn = multiprocessing.get_context("spawn")
    adding = [spawn.Process(target=add_for, args=(seconds, folder, name)) for name in ("1", "2")]
    for process in adding:
        process.start()
    looks = 0
    while any(process.is_alive() for process in adding):
        for name in ("1", "2"):
            log = folder / f"{name}.log"
            if not log.exists() or not (written := log.read_text()):
                continue
            newest = int(written)
            for number in (newest, rng.randint(0, newest)):
                (near,) = library.find_nearest(vector(number), 1, Filter(patient=name))
                assert near.case.study_uid == f"{name}.{number}"
                looks += 1
    assert all(process.exitcode == 0 for process in adding)
    return looks, library.count_cases()
