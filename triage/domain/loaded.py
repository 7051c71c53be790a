"""The bundle and findings that a worker has loaded, and the effect of loading others."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LoadedFinding:
    """A finding and whether it can be flagged."""

    id: str
    name: str
    threshold: float | None  #: None: none holds for studies with any views
    why_not: str = ""  #: why there is no threshold
    by_views: Mapping[str, float] = field(default_factory=dict)  #: thresholds of sets of views

    @property
    def thresholds(self) -> str:
        """The thresholds in words; empty if it is Not Evaluated in every study."""
        if self.threshold is not None:
            return f"the threshold {self.threshold:g}"
        return f"thresholds for {len(self.by_views)} set(s) of views" if self.by_views else ""


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
    if not finding.thresholds:
        return f"{finding.id} is new and has no threshold: it will be Not Evaluated"
    return f"{finding.id} is new, with {finding.thresholds}"


def _describe(before: LoadedFinding, after: LoadedFinding) -> str:
    """Return what changes for a finding; empty if nothing does."""
    if (before.threshold, before.by_views) == (after.threshold, after.by_views):
        return ""
    if not after.thresholds:
        return f"{after.name} will become Not Evaluated: {after.why_not}"
    if not before.thresholds:
        return f"{after.name} can be flagged, with {after.thresholds}"
    was, now = before.threshold, after.threshold
    if was is None or now is None or was == now:
        return f"{after.name}: its thresholds for some sets of views change"
    return f"{after.name}: threshold {was:g} becomes {now:g}"
