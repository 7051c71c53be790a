"""Findings of a hospital, each with prompts in plain language, or with examples.

Thresholds are not part of a finding: they belong to the calibration of one bundle.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from triage.domain.calibration import SiteCalibration
from triage.domain.reasons import Reason


@dataclass(frozen=True)
class FindingCode:
    """A coded concept (PS3.3 section 8). Never invented: see `verified_by`."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class Examples:
    """Past studies as examples, by Study Instance UID."""

    present: tuple[str, ...] = ()  #: studies with the finding
    absent: tuple[str, ...] = ()  #: studies without the finding; if empty, past cases in general
    #: in place of both: all past cases labelled with a radiologist's confirmation
    confirmed: bool = False


@dataclass(frozen=True)
class Finding:
    """One question that the worker answers for every study."""

    id: str  #: stable, lower case with underscores; names the finding in calibrations and reports
    name: str  #: as shown to people
    prompts: tuple[str, ...]
    views: tuple[str, ...]  #: evaluated if at least one of these views is present
    code: FindingCode | None  #: a verified code; None: the private scheme
    verified_by: str  #: person and source of the verification; empty without a code
    site: FindingCode | None  #: the anatomical site
    examples: Examples | None = None  #: used together with the prompts, if any
    version: int | None = None  #: in the ledger; None: it is from the findings file


@dataclass(frozen=True)
class FindingSet:
    """The configured findings of a site, identified by a digest of their content."""

    findings: tuple[Finding, ...]
    digest: str  #: SHA-256 over the content, in hexadecimal; formatting does not change it
    #: the calibrations of the site by finding id, or why one does not hold any more
    calibrations: Mapping[str, SiteCalibration | Reason] = field(default_factory=dict)


def explain_missing_views(finding: str, needed: Collection[str], known: Collection[str]) -> str:
    """Return why a finding of these views does not fit a bundle; empty if it fits."""
    missing = [view for view in sorted(needed) if view not in known]
    if not missing:
        return ""
    return (
        f"finding {finding} needs {', '.join(missing)}, but the bundle has only {', '.join(known)}"
    )
