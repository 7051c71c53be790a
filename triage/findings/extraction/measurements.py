"""Limits of measurements: above which a finding is present, and below which it is absent.

Between the two limits the finding is uncertain, because the limit depends on sex or on the source.

    Lang et al., J Am Soc Echocardiogr 2015;28:1: LVEF normal from 52 % (men) and 54 % (women); RVEF
    from 45 %.
    Kawel-Boehm et al., J Cardiovasc Magn Reson 2020;22:87: upper limits of the indexed
    end-diastolic volumes, women and men, and RVEF from 50 %; as those of `phantom/heart.py`.
    ESC 2023 cardiomyopathy guidelines: wall thickness up to 12 mm is normal, from 13 mm with a
    family history it is hypertrophic.
    Isselbacher et al., Circulation 2022;146:e334: aorta up to 40 mm, descending up to 30 mm.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from triage.domain.outcome import OutcomeStatus


@dataclass(frozen=True)
class Limits:
    """The limits of one measurement in its unit; `falls` if a low value is abnormal."""

    unit: str
    normal: float  #: a value up to here (or from here, if it falls) is normal
    abnormal: float  #: a value beyond it is abnormal
    plausible: tuple[float, float]  #: another value is a number of something else
    falls: bool = False

    def judge(self, value: float) -> OutcomeStatus:
        """Return whether the finding of a value is present, absent or uncertain."""
        value, normal, abnormal = (
            (-value, -self.normal, -self.abnormal)
            if self.falls
            else (value, self.normal, self.abnormal)
        )
        if value <= normal:
            return OutcomeStatus.ABSENT
        return OutcomeStatus.PRESENT if value > abnormal else OutcomeStatus.UNCERTAIN


LIMITS: Mapping[tuple[str, str], Limits] = MappingProxyType(
    {
        ("function", "lv"): Limits("%", 55, 50, (3, 95), falls=True),
        ("function", "rv"): Limits("%", 50, 45, (3, 95), falls=True),
        ("size", "lv"): Limits("ml/m2", 96, 105, (20, 400)),
        ("size", "rv"): Limits("ml/m2", 112, 121, (20, 400)),
        ("thickness", "lv"): Limits("mm", 12, 12.9, (3, 50)),
        ("size", "root"): Limits("mm", 40, 40, (15, 120)),
        ("size", "ascending"): Limits("mm", 40, 40, (15, 120)),
        ("size", "arch"): Limits("mm", 36, 40, (12, 120)),
        ("size", "descending"): Limits("mm", 30, 30, (10, 120)),
        ("size", "aorta"): Limits("mm", 30, 40, (10, 120)),
    }
)


def judge_measurement(
    what: str, site: str, values: tuple[float, ...], unit: str
) -> OutcomeStatus | None:
    """Return what a measurement or range states; None if it is none of these measurements."""
    limits = LIMITS.get((what, site))
    if limits is None:
        return None
    if unit == "cm" and limits.unit == "mm":
        values, unit = tuple(10 * value for value in values), "mm"
    if unit not in {limits.unit, ""} or (not unit and limits.unit != "%"):
        return None
    if not all(limits.plausible[0] <= value <= limits.plausible[1] for value in values):
        return None
    judged = {limits.judge(value) for value in values}
    return judged.pop() if len(judged) == 1 else OutcomeStatus.UNCERTAIN
