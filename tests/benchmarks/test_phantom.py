"""How long the synthetic heart takes: run with `pytest tests/benchmarks/test_phantom.py -s`."""

from time import perf_counter, process_time

import pytest

from triage.phantom.heart import draw_heart
from triage.phantom.signal import LOOKS
from triage.phantom.study import MODEL_VIEWS, acquire_stacks

REPEATS = 5


@pytest.mark.parametrize("name", LOOKS)
def test_rendering(name: str) -> None:
    look = LOOKS[name]
    acquire_stacks(draw_heart(0), look, 0, only=MODEL_VIEWS)
    for what, options in (
        ("the model's six views", {"only": MODEL_VIEWS}),
        ("a study", {}),
        ("a study with extras", {"extras": True}),
    ):
        wall, cpu = [], []
        for seed in range(1, REPEATS + 1):
            started, busy = perf_counter(), process_time()
            stacks = acquire_stacks(draw_heart(seed), look, seed, **options)
            wall.append(perf_counter() - started)
            cpu.append(process_time() - busy)
        images = sum(len(one.slices) * len(one.times_ms) for one in stacks)
        print(
            f"{name:9} {what:22} {images:4} images: {min(wall):.2f} to {max(wall):.2f} s, "
            f"CPU {min(cpu):.2f} s"
        )
