"""Searches and look-ups of past cases by users, each with an audit event and an incident.

Access is logged before the result is returned, and also if nothing is found. The log entry of a
search has the number of cases and the filters used. It never has the query text or the vendor as
typed, because they may name a patient.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from triage.cases.keys import KEY
from triage.cases.past_cases import PastCases
from triage.cases.query_embedding import query_embedding
from triage.cases.search import CaseMatch, CaseQuery, checked_study_uid
from triage.domain.audit import NoAuditTrail, build_case_search_event
from triage.domain.case import Case
from triage.domain.errors import CaseNotFound, InvalidQuery
from triage.domain.incident import IncidentKind
from triage.domain.instance import Source
from triage.ports.audit import AuditTrail
from triage.ports.encoder import Encoder
from triage.ports.incidents import IncidentLedger

#: Kinds of incident, as the ledger stores them.


@dataclass(frozen=True)
class CaseAccess:
    """Past cases for users.

    Raises LedgerUnavailable: without a log entry there is no access.
    """

    past: PastCases
    ledger: IncidentLedger  #: gets one incident per access
    audit: AuditTrail = field(default_factory=NoAuditTrail)

    def search(self, encoder: Encoder, search: CaseQuery, user: str) -> Sequence[CaseMatch]:
        """Return the nearest cases; raise InvalidQuery or CaseNotFound."""
        try:
            asked = query_embedding(encoder, self.past.library, search.words, search.like)
        except CaseNotFound:
            self._log(
                IncidentKind.CASES_SEARCHED, ", ".join(["nothing found", *_filters(search)]), user
            )
            raise
        like = self.past.library.get_case(search.like) if search.like else None
        found = self.past.find_nearest(asked, search, like)
        self._log(
            IncidentKind.CASES_SEARCHED,
            ", ".join([f"{len(found)} case(s) listed", *_filters(search)]),
            user,
        )
        return found

    def find_case(self, uid: str, user: str) -> Case:
        """Return the case of a study; raise InvalidQuery or CaseNotFound."""
        found = self.past.library.get_case(checked_study_uid("study", uid))
        self._log(IncidentKind.CASE_LOOKED_UP, f"{_outcome(found)}study {uid}", user)
        if found is None:
            raise CaseNotFound(f"this bundle has no case of study {uid}")
        return found

    def resolve_key(self, key: str, report: str, user: str) -> Case:
        """Look up the case for a case key in the report on a study.

        Raises:
            InvalidQuery: The key or the Study Instance UID is malformed.
            CaseNotFound: The report has no such key, or the case was removed.
        """
        key, report = key.strip().upper(), checked_study_uid("report", report.strip())
        if not KEY.fullmatch(key):
            raise InvalidQuery("key: enter it as printed in the report, for example 7QK4-M2XD")
        if not report:
            raise InvalidQuery("report: enter the Study Instance UID of the report with this key")
        found = self.past.resolve_key(key, report)
        self._log(
            IncidentKind.CASE_LOOKED_UP, f"{_outcome(found)}{key} of the report on {report}", user
        )
        if found is None:
            raise CaseNotFound(f"the report on {report} has no similar case {key} in this library")
        return found

    def _log(self, kind: IncidentKind, detail: str, user: str) -> None:
        self.audit.record(build_case_search_event(user, f"{kind}: {detail}"))
        self.ledger.report_incident(kind, detail, Source("", f"user {user}"))


def _outcome(found: Case | None) -> str:
    return "" if found else "nothing found: "


def _filters(search: CaseQuery) -> Iterator[str]:
    """Yield the filters of a search without the values that may name a patient."""
    where = search.where
    if search.words:
        yield "by words"
    if search.like:
        yield f"like {search.like}"
    if where.since:
        yield f"since {where.since}"
    if where.until:
        yield f"until {where.until}"
    if where.vendor:
        yield "of a vendor"
    if where.finding:
        yield "with a finding"
    if where.confirmed_only:
        yield "confirmed"
