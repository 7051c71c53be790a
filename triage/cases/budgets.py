"""Thresholds by which a share of a site's studies is flagged, without labels.

A budget states how much is flagged, never how well: the accuracy of such a threshold is unknown.
Every set of views gets the same share. Ties with the last score that would be flagged are not
flagged, so that no set exceeds its share.
"""

from datetime import date

import numpy as np

from triage.domain.calibration import CalibrationTarget, SiteThreshold, TargetKind
from triage.domain.performance import predict_rate
from triage.model.roc import Floats

LATER = 500  #: studies on which the interval of a share is stated
WEEK = 7  #: days


def find_share(target: CalibrationTarget, days: list[date]) -> float:
    """Return the share of studies that a budget allows, at most 1.

    `days` are the study dates, of which there is one at least.
    """
    if target.kind is TargetKind.SHARE:
        return target.value
    weeks = ((max(days) - min(days)).days + 1) / WEEK
    return min(1.0, target.value * weeks / len(days))


def set_budget_threshold(views: str, scores: Floats, share: float) -> SiteThreshold | None:
    """Return the threshold that flags at most a share of scores (N,); None if it flags none."""
    ordered = np.sort(scores)[::-1]
    allowed = int(share * len(ordered))
    if allowed >= len(ordered):
        allowed = len(ordered) - 1
    while allowed and ordered[allowed - 1] == ordered[allowed]:
        allowed -= 1
    if not allowed:
        return None
    return SiteThreshold(
        views=views,
        threshold=float(ordered[allowed - 1] + ordered[allowed]) / 2,
        spread=float(scores.std()),
        studies=len(scores),
        flagged=predict_rate(allowed, len(scores), LATER),
    )
