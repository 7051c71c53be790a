"""Hearts that neither the training nor the evaluation of the demo bundle used.

Drawing a heart takes half a second of processor time, and three test modules need a hundred
hearts of each hospital. One process of the test run draws them, and the others read its files.
"""

from pathlib import Path

import export
from export.pairs import Pairs, open_pairs
from export.phantoms import write_phantoms
from tests.shared_folders import fill_once
from triage.model.bundle import ClipForm
from triage.yaml_models import read

SEEDS = {"internal": range(50_000, 50_100), "external": range(60_000, 60_100)}
PROCESSES = 2
PHASES = 6  #: of each cine that is drawn; those that the clip takes are among them
CLIP = Path(export.__file__).parent / "clips" / "demo.yaml"


def draw_hearts(folder: Path, name: str) -> Pairs:
    """Return the hearts of one hospital; `folder` belongs to all processes of the test run."""
    form = read(CLIP, ClipForm)

    def draw(empty: Path) -> None:
        external = name == "external"
        write_phantoms(
            empty, SEEDS[name], form, external=external, phases=PHASES, workers=PROCESSES
        )

    return open_pairs(fill_once(folder / f"{name}_hearts", draw))
