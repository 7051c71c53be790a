"""Looks at past cases: nobody sees one without the ledger knowing who it was.

Rule: a look is kept before its answer is given, also where nothing was found. Of a search it keeps
how many cases were told and which filters held, never the words or the vendor as somebody typed
them: they may name a patient.
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
from triage.domain.instance import Source
from triage.ports.audit import AuditTrail
from triage.ports.encoder import Encoder
from triage.ports.ledger import Ledger

KINDS = LOOKED_UP, SEARCHED = "case looked up", "cases searched"


@dataclass(frozen=True)
class CaseAccess:
    """The past cases, for people. Raises LedgerUnavailable: what cannot be kept is not told."""

    past: PastCases
    ledger: Ledger
    audit: AuditTrail = field(default_factory=NoAuditTrail)

    def search(self, encoder: Encoder, search: CaseQuery, who: str) -> Sequence[CaseMatch]:
        """Return the nearest cases; raise InvalidQuery or CaseNotFound."""
        try:
            asked = query_embedding(encoder, self.past.library, search.words, search.like)
        except CaseNotFound:
            self._keep(SEARCHED, ", ".join(["nothing found", *_filters(search)]), who)
            raise
        like = self.past.library.get_case(search.like) if search.like else None
        found = self.past.find_nearest(asked, search, like)
        self._keep(SEARCHED, ", ".join([f"{len(found)} case(s) told", *_filters(search)]), who)
        return found

    def find_case(self, uid: str, who: str) -> Case:
        """Return the case of a study; raise InvalidQuery or CaseNotFound."""
        found = self.past.library.get_case(checked_study_uid("study", uid))
        self._keep(LOOKED_UP, f"{_told(found)}study {uid}", who)
        if found is None:
            raise CaseNotFound(f"no case of study {uid} is known to this bundle")
        return found

    def resolve_key(self, key: str, report: str, who: str) -> Case:
        """Return the case that the report on a study names by a key.

        Raises InvalidQuery or CaseNotFound.
        """
        key, report = key.strip().upper(), checked_study_uid("report", report.strip())
        if not KEY.fullmatch(key):
            raise InvalidQuery("key: write it as it stands in the report, as 7QK4-M2XD")
        if not report:
            raise InvalidQuery("report: say the Study UID of the report that has the key")
        found = self.past.resolve_key(key, report)
        self._keep(LOOKED_UP, f"{_told(found)}{key} of the report on {report}", who)
        if found is None:
            raise CaseNotFound(f"the report on {report} has no similar case {key} that is known")
        return found

    def _keep(self, kind: str, detail: str, who: str) -> None:
        self.audit.record(build_case_search_event(who, f"{kind}: {detail}"))
        self.ledger.report_incident(kind, detail, Source("", f"user {who}"))


def _told(found: Case | None) -> str:
    return "" if found else "nothing found: "


def _filters(search: CaseQuery) -> Iterator[str]:
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
