"""The bundle and findings that a worker has loaded, and the effect of loading others."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class LoadedFinding:
    """A finding and whether it can be flagged."""

    id: str
    name: str
    threshold: float | None  #: None: it is Not Evaluated
    why_not: str = ""  #: why there is no threshold


@dataclass(frozen=True)
class LoadedParts:
    """The parts that decide what a worker answers."""

    version: str  #: of this program
    bundle: str  #: name and version
    bundle_digest: str
    findings_digest: str
    findings: tuple[LoadedFinding, ...]


def describe_changes(before: LoadedParts, after: LoadedParts) -> list[str]:
    """Return in sentences what changes for the reports if `after` is loaded."""
    changes = []
    if before.version != after.version:
        changes.append(f"release {before.version} becomes {after.version}")
    if before.bundle_digest != after.bundle_digest:
        changes.append(f"bundle {before.bundle} becomes {after.bundle}")
    findings = list(_describe_findings(before, after))
    if not findings and before.findings_digest != after.findings_digest:
        findings = ["the findings have the same thresholds, but other texts, codes or views"]
    return [*changes, *findings]


def _describe_findings(before: LoadedParts, after: LoadedParts) -> Iterator[str]:
    known = {finding.id: finding for finding in before.findings}
    for finding in after.findings:
        earlier = known.pop(finding.id, None)
        change = _describe_new(finding) if earlier is None else _describe(earlier, finding)
        if change:
            yield change
    for finding in known.values():
        yield f"{finding.name} will not be answered any more"


def _describe_new(finding: LoadedFinding) -> str:
    if finding.threshold is None:
        return f"{finding.id} is new and has no threshold: it will be Not Evaluated"
    return f"{finding.id} is new, with the threshold {finding.threshold:g}"


def _describe(before: LoadedFinding, after: LoadedFinding) -> str:
    """Return what changes for a finding; empty if nothing does."""
    if before.threshold == after.threshold:
        return ""
    if after.threshold is None:
        return f"{after.name} will become Not Evaluated: {after.why_not}"
    if before.threshold is None:
        return f"{after.name} can be flagged, with the threshold {after.threshold:g}"
    return f"{after.name}: threshold {before.threshold:g} becomes {after.threshold:g}"
