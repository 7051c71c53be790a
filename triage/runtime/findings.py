"""The findings of a site: those of the ledger, or the findings file until the first import."""

from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from triage.config import Settings
from triage.domain.finding import FindingSet
from triage.domain.finding_version import FindingHistories
from triage.findings.content import build_finding_set
from triage.findings.loader import load_findings
from triage.ports.findings import FindingLedger
from triage.runtime.databases import open_existing_database
from triage.store.findings import SqlFindings
from triage.store.migrations import HEAD


@dataclass(frozen=True)
class SiteFindings:
    """The findings that a worker uses."""

    reported: FindingSet
    silent: FindingSet | None  #: None: no finding is silent
    origin: str  #: the path of the file, or "the ledger", for messages
    revision: int = 0  #: of the ledger; 0: the ledger has no findings

    @property
    def fittable(self) -> FindingSet:
        """The findings that a fit is for; of a finding that reports show, that version."""
        if self.silent is None:
            return self.reported
        known = {finding.id for finding in self.reported.findings}
        others = (finding for finding in self.silent.findings if finding.id not in known)
        return FindingSet((*self.reported.findings, *others), self.reported.digest)


def load_file_findings(path: Path, views: Collection[str] | None = None) -> SiteFindings:
    """Return the findings of a file; raise ConfigurationError.

    `views` are those of the bundle; None: they are not checked.
    """
    return SiteFindings(load_findings(path, views), None, str(path))


def load_site_findings(settings: Settings, views: Collection[str] | None = None) -> SiteFindings:
    """Return the findings in use, without creating or changing a ledger.

    `views` are those of the bundle, for the findings of a file; None: they are not checked.
    Raises ConfigurationError and LedgerUnavailable.
    """
    database = open_existing_database(settings)
    if database is None:
        return load_file_findings(settings.findings, views)
    with closing(database):
        if database.revision() != HEAD:  # `check` runs before the first start of a release
            return load_file_findings(settings.findings, views)
        return read_site_findings(SqlFindings(database), settings, views)


def read_site_findings(
    ledger: FindingLedger, settings: Settings, views: Collection[str] | None = None
) -> SiteFindings:
    """Return the findings in use: those of a ledger, or of the file if the ledger has none."""
    revision = ledger.get_revision()  # first: a change in between is then noticed
    if revision == 0:
        return load_file_findings(settings.findings, views)
    present = FindingHistories(ledger.list_versions()).select_present()
    silent = build_finding_set(present.silent) if present.silent else None
    return SiteFindings(build_finding_set(present.reported), silent, "the ledger", revision)


def load_histories(settings: Settings) -> FindingHistories:
    """Return all versions of all findings, without creating or changing a ledger."""
    database = open_existing_database(settings)
    if database is None:
        return FindingHistories(())
    with closing(database):
        is_current = database.revision() == HEAD
        return FindingHistories(SqlFindings(database).list_versions() if is_current else ())
