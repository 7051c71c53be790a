"""Past cases with drawn embeddings: their scores of a finding are known, and no image is needed."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from triage.domain.case import Case
from triage.ports.encoder import Embedding

FIRST_DAY = date(2026, 1, 1)
A_DAY = 5  #: studies with the same study date
SPREAD = 0.05  #: standard deviation of the scores of each side


def draw_cases(
    prompts: NDArray[np.float32], middle: float, count: int, views: Sequence[str], name: str
) -> Iterator[tuple[Case, Embedding]]:
    """Yield cases with scores around `middle`, in the unit of the highest possible score.

    `prompts` (p, D) are the embeddings of the prompts of the finding. `name` determines patients,
    UIDs and what is drawn.
    """
    seed = crc32(name.encode())
    rng = np.random.default_rng(seed)
    axis = prompts.mean(axis=0) / np.linalg.norm(prompts.mean(axis=0))
    for number in range(count):
        height = float(np.clip(rng.normal(middle, SPREAD), -0.99, 0.99))
        aside = rng.normal(size=len(axis))
        aside -= (aside @ axis) * axis
        point = height * axis + np.sqrt(1 - height**2) * aside / np.linalg.norm(aside)
        day = FIRST_DAY + timedelta(days=number // A_DAY)
        uid = f"1.2.{seed}.{number}"
        case = Case(uid, f"{name} {number}", day.strftime("%Y%m%d"), views=tuple(views))
        yield case, point.astype(np.float32)
