"""Outcomes of studies in the ledger's database (`ports.Outcomes`).

The sentence of an outcome is de-identified as far as rules can do it, and is in no log. Messages
are known for KEPT_S, so that one that is sent again is recorded once.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, insert, select

from triage.crash_points import ReportPoint, mark_reached
from triage.domain.incident import IncidentKind
from triage.domain.instance import Source
from triage.domain.outcome import (
    WITHOUT_STUDY,
    FindingOutcome,
    OutcomeStatus,
    RecordedMessage,
    ReportedOutcomes,
    ReportResult,
)
from triage.ports.clock import Clock
from triage.store.database import Database, lock_until_commit, retry_on_conflict
from triage.store.ledger_statements.incidents import count_incident
from triage.store.schema import outcomes, report_messages, studies

KEPT_S = 90 * 86_400.0  #: longer than an interface engine keeps messages to send them again
SEPARATOR = "\n"  #: between the results of a message


class SqlOutcomes:
    """Outcomes of studies, in the ledger's database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @retry_on_conflict
    def record_message(
        self, source: Source, control_id: str, reports: Sequence[ReportedOutcomes | ReportResult]
    ) -> RecordedMessage:
        """Record the reports of a message, unless it is known."""
        at, sender = self._clock.now(), source.calling_ae
        mine = (report_messages.c.sender == sender) & (report_messages.c.control_id == control_id)
        with self._database.writing() as connection:
            lock_until_commit(connection, "outcomes")
            known = connection.scalar(select(report_messages.c.results).where(mine))
            if known is not None:
                results = [ReportResult(each) for each in known.split(SEPARATOR) if each]
                return RecordedMessage(results, is_repeated=True)
            connection.execute(delete(report_messages).where(report_messages.c.at < at - KEPT_S))
            results = [_record(connection, report, at) for report in reports]
            for result in results:
                if result in WITHOUT_STUDY:
                    kind = IncidentKind.REPORT_WITHOUT_STUDY
                    count_incident(connection, kind, result, source, 1, at)
            values = {"sender": sender, "control_id": control_id, "at": at}
            text = SEPARATOR.join(results)
            connection.execute(insert(report_messages).values(**values, results=text))
        mark_reached(ReportPoint.RECORDED)
        return RecordedMessage(results)

    @retry_on_conflict
    def report_refused(self, why: str, source: Source) -> None:
        """Record a message that was not accepted."""
        at = self._clock.now()
        with self._database.writing() as connection:
            count_incident(connection, IncidentKind.REPORT_REFUSED, why, source, 1, at)

    def list_outcomes(self, study_uid: str) -> Sequence[FindingOutcome]:
        """Return the outcomes of a study, by finding."""
        query = select(outcomes).where(outcomes.c.study_uid == study_uid)
        with self._database.reading() as connection:
            return [
                FindingOutcome(row.finding, OutcomeStatus(row.status), row.sentence)
                for row in connection.execute(query.order_by(outcomes.c.finding))
            ]


def _record(
    connection: Connection, report: ReportedOutcomes | ReportResult, at: float
) -> ReportResult:
    if isinstance(report, ReportResult):
        return report
    found = _find_studies(connection, report)
    if len(found) != 1:
        return ReportResult.SEVERAL_STUDIES if found else ReportResult.NO_STUDY
    mine = outcomes.c.study_uid == found[0]
    before = connection.execute(
        select(func.max(outcomes.c.rank), func.max(outcomes.c.moment)).where(mine)
    ).one()
    is_first = before[0] is None
    if not is_first and (report.rank, report.moment) < (before[0], before[1]):
        return ReportResult.OUTDATED
    connection.execute(delete(outcomes).where(mine))
    if report.is_withdrawn:
        return ReportResult.WITHDRAWN
    rows = [_to_row(found[0], report, outcome, at) for outcome in report.outcomes]
    if not rows:
        return ReportResult.NOTHING_STATED
    connection.execute(insert(outcomes), rows)
    return ReportResult.STORED if is_first else ReportResult.REPLACED


def _find_studies(connection: Connection, report: ReportedOutcomes) -> Sequence[str]:
    """Return the studies of a report: by its Study Instance UID, else by the first known number.

    A report that names a study which is not here is never of another study with the same number.
    """
    uid = studies.c.study_uid
    if report.study_uid:
        query = select(uid).where(uid == report.study_uid).distinct()
        return connection.scalars(query).all()
    for number in report.accessions:
        query = select(uid).where(studies.c.accession_number == number).distinct().limit(2)
        if found := connection.scalars(query).all():
            return found
    return ()


def _to_row(
    study_uid: str, report: ReportedOutcomes, outcome: FindingOutcome, at: float
) -> dict[str, object]:
    return {
        "study_uid": study_uid,
        "finding": outcome.finding_id,
        "status": outcome.status,
        "sentence": outcome.sentence,
        "rank": int(report.rank),
        "moment": report.moment,
        "at": at,
    }
