"""What the hospital asks about: findings, each with prompts in plain words, or with examples.

Thresholds do not live here: they belong to the calibration of one bundle.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class FindingCode:
    """A coded concept (PS3.3 section 8). Never invented: see `verified_by`."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class Examples:
    """Past studies that show what is meant, by Study Instance UID."""

    present: tuple[str, ...] = ()  #: that have the finding
    absent: tuple[str, ...] = ()  #: that have not; without any, past cases at large stand for them
    #: in place of both: all past cases of which somebody said whether a radiologist confirmed it
    confirmed: bool = False


@dataclass(frozen=True)
class Finding:
    """One question that the worker answers for every study."""

    id: str  #: stable, lower case with underscores; names the finding in calibrations and reports
    name: str  #: as people read it
    prompts: tuple[str, ...]
    views: tuple[str, ...]  #: evaluated when at least one of these views is there
    code: FindingCode | None  #: a code that somebody verified; None: the private scheme
    verified_by: str  #: who verified the code and where; empty where there is none
    site: FindingCode | None  #: the anatomical site
    examples: Examples | None = None  #: asked by them, together with the prompts if there are any


@dataclass(frozen=True)
class FindingSet:
    """The configured findings of a site, identified by a digest of their content."""

    findings: tuple[Finding, ...]
    digest: str  #: SHA-256 over the content, in hexadecimal; formatting does not change it
