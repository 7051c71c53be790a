"""Hearts that neither the training nor the evaluation of the demo bundle used.

Drawing a heart takes about a second, and three test modules need a hundred of each hospital. One
process of the test run draws them, the others wait for it and read its files.
"""

import fcntl
from pathlib import Path

from export.__main__ import CLIPS
from export.pairs import Pairs, open_pairs
from export.phantoms import write_phantoms
from triage.model.bundle import ClipForm
from triage.yaml_models import read

SEEDS = {"internal": range(50_000, 50_100), "external": range(60_000, 60_100)}
PROCESSES = 2


def draw_hearts(folder: Path, name: str) -> Pairs:
    """Return the hearts of one hospital, drawn into a folder that all processes share."""
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / name).exists():
            form = read(CLIPS / "demo.yaml", ClipForm)
            external = name == "external"
            partial = folder / f"{name}.partial"
            write_phantoms(partial, SEEDS[name], form, external=external, workers=PROCESSES)
            partial.rename(folder / name)
    return open_pairs(folder / name)
