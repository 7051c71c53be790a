"""Calibrations of a site."""

from collections.abc import Sequence

from triage.domain.calibration import (
    CalibrationTarget,
    SiteCalibration,
    SiteThreshold,
    TargetKind,
)
from triage.domain.finding_version import FindingVersion
from triage.domain.performance import Performance, Rate, observed_rate

SENSITIVE = CalibrationTarget(TargetKind.SENSITIVITY, 0.9)
WEEKLY = CalibrationTarget(TargetKind.FLAGS_A_WEEK, 5)


def site_threshold(views: str = "lge_sa", patients: int = 40, at: float = 0.5) -> SiteThreshold:
    """Return a threshold that was set on so many patients with and without the finding."""
    rate = observed_rate(patients, 2 * patients)
    performance = Performance(rate, rate, rate, 2 * patients, patients, "studies of this site")
    return SiteThreshold(views, at, 0.1, 2 * patients, patients, performance, rate)


def budget_threshold(views: str = "lge_sa", at: float = 0.7) -> SiteThreshold:
    """Return a threshold that a budget has set."""
    return SiteThreshold(views, at, 0.1, 400, flagged=Rate(0.02, 0.01, 0.04))


def thresholds(*patients: int) -> Sequence[SiteThreshold]:
    """Return thresholds of different sets of views, one for each number of patients a side."""
    return [site_threshold(f"view_{place}", count) for place, count in enumerate(patients)]


def labelled(version: FindingVersion, *patients: int, bundle: str = "b1") -> SiteCalibration:
    """Return a calibration for the content of a version, by labels of so many patients a side."""
    return SiteCalibration(version.digest, bundle, SENSITIVE, tuple(thresholds(*patients)))


def by_budget(version: FindingVersion, bundle: str = "b1") -> SiteCalibration:
    """Return a calibration for the content of a version, by a budget."""
    return SiteCalibration(version.digest, bundle, WEEKLY, (budget_threshold(),))
