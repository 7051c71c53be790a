"""Values of the AHA segments, interpolated around and along the left ventricle.

Tables have LEVELS levels from base to apex and ANGLES angles around the long axis.
"""

from functools import cache, lru_cache

import numpy as np

from triage.phantom.heart import SEGMENTS, Segments
from triage.phantom.tissue import Field

LEVELS, ANGLES = 96, 180  #: of the tables along and around the left ventricle
#: Shares of the length: middles of the basal, mid and apical segments, and borders between them.
RING_CENTRES = (0.17, 0.52, 0.85)
RING_EDGES = (0.35, 0.70)


@cache
def angles() -> Segments:
    """Return the angles of a table's columns, radians, (ANGLES,)."""
    return (np.arange(ANGLES) + 0.5) * 2 * np.pi / ANGLES


def _smooth_rings(values: Segments, blur_deg: float) -> Segments:
    """Return segment values around three rings, smoothed by `blur_deg`, (3, ANGLES)."""
    degrees = np.degrees(angles())
    six = (((degrees - 60) // 60) % 6).astype(int)
    four = (((degrees - 45) // 90) % 4).astype(int)
    rings = np.stack([values[six], values[6 + six], values[12 + four]])
    turns = np.fft.rfftfreq(ANGLES, 1 / ANGLES)
    smooth = np.exp(-0.5 * (turns * np.radians(blur_deg)) ** 2)
    spread: Segments = np.fft.irfft(np.fft.rfft(rings) * smooth, ANGLES)
    return spread


def segment_table(values: Segments, blur_deg: float) -> Segments:
    """Return segment values interpolated around and along the wall, (LEVELS, ANGLES)."""
    rings = _smooth_rings(values, blur_deg)
    level = (np.arange(LEVELS) + 0.5) / LEVELS
    low, mid, high = RING_CENTRES
    upper = np.clip((level - low) / (mid - low), 0, 1)[:, None]
    lower = np.clip((level - mid) / (high - mid), 0, 1)[:, None]
    table: Segments = rings[0] * (1 - upper) + rings[1] * (upper - lower) + rings[2] * lower
    return table


@lru_cache(maxsize=64)
def scar_table(segments: tuple[int, ...]) -> Field:
    """Return 1 within segments, 0 outside, with borders soft by a few mm, (LEVELS, ANGLES)."""
    chosen = np.zeros(SEGMENTS)
    chosen[list(segments)] = 1.0
    rings = _smooth_rings(chosen, 7.0)
    level = ((np.arange(LEVELS) + 0.5) / LEVELS)[:, None]
    first, second = (np.clip((level - edge) / 0.08 + 0.5, 0, 1) for edge in RING_EDGES)
    table = rings[0] * (1 - first) + rings[1] * (first - second) + rings[2] * second
    return np.asarray(np.clip(table, 0, 1), np.float32)
