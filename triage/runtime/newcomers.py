"""The reports for a destination that was configured after a study was reported."""

from collections.abc import Sequence

from triage.config import Settings
from triage.domain.delivery import Product, ReportedRevision
from triage.pipeline.newcomers import NewcomerReports
from triage.runtime.clock import LocalZone, SystemClock
from triage.runtime.destinations import media_types
from triage.runtime.model import build_equipment
from triage.runtime.storage import open_existing_ledger, open_spool


def list_newcomer_reports(
    settings: Settings, reported: ReportedRevision, destination: str
) -> Sequence[Product]:
    """Return the reports of a revision that a destination takes; see `NewcomerReports`."""
    reports = NewcomerReports(
        open_existing_ledger(settings),
        open_spool(settings),
        SystemClock(),
        build_equipment(settings),
        media_types(settings),
        settings.reports,
        settings.similar_cases,
        LocalZone(),
    )
    return reports.list_for(reported, destination)
