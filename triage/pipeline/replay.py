"""Use case: assess or deliver again at the request of an operator.

A destination that has acknowledged a product gets it again only with `resend_study`. A revision
that a later one superseded is left as it is, unless it is named: its report would appear newer than
the later one.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from triage.domain.delivery import Product, ReportedRevision, SentDelivery
from triage.domain.errors import CommandFailed, NotFound
from triage.domain.reasons import ReasonCode, because
from triage.domain.study import ENDED, Event, State, StudyRevision
from triage.ports.studies import StudyLedger

#: Returns what a destination takes of the reports of a revision; makes the messages it lacks.
ReportsFor = Callable[[ReportedRevision, str], Sequence[Product]]


class DeadLetterStore(Protocol):
    """The deliveries that were given up."""

    def replay(
        self, *, ids: Collection[int] = (), study_uid: str = "", destination: str = ""
    ) -> int:
        """Make deliveries due again that were given up; return how many there were."""


class ResendingStore(Protocol):
    """Deliveries that can be sent again, whatever became of them."""

    def list_sent(self, study_uid: str) -> Sequence[SentDelivery]:
        """Return the deliveries of the latest revision of a study that has any."""

    def resend(self, study_uid: str, revision: int, ids: Collection[int], reason: str) -> None:
        """Make deliveries of a revision due again."""

    def find_reported(self, study_uid: str) -> ReportedRevision | None:
        """Return the latest revision that has reports."""

    def open_deliveries(
        self, reported: ReportedRevision, destination: str, made: Sequence[Product], reason: str
    ) -> int:
        """Open a delivery for each product; return how many, 0 while the study is assessed."""

    def hasten(self, destination: str) -> int:
        """Make every delivery that waits for a destination due now; return how many."""


@dataclass(frozen=True)
class ReplayedStudies:
    """How many studies were replayed, and how many were left."""

    ready: int  #: studies that are READY again
    superseded: int  #: failed studies left as they are, because a later revision exists


def replay_study(ledger: StudyLedger, study_uid: str) -> ReplayedStudies:
    """Make the latest failed or declined revision of a study READY again.

    Raises NotFound if there is none, and CommandFailed if its images were removed.
    """
    ended = ledger.list_studies(State.FAILED, State.DECLINED)
    revisions = [study for study in ended if study.study_uid == study_uid]
    if not revisions:
        raise NotFound(
            f"no study {study_uid} is FAILED or DECLINED: see `triage status`; `triage replay "
            "--reassess` assesses any study again"
        )
    latest = max(revisions, key=_revision_of)
    _require_images(latest)
    return ReplayedStudies(_move_to_ready(ledger, [latest]), 0)


def reassess_study(ledger: StudyLedger, study_uid: str) -> int:
    """Open the next revision of a study, with the same images, and return its number.

    Today's model and findings assess it, and its reports replace those of the revision before.
    Raises NotFound, and CommandFailed if it is not assessed yet or its images were removed.
    """
    revisions = [study for study in ledger.list_studies() if study.study_uid == study_uid]
    if not revisions:
        raise NotFound(f"the ledger has no study {study_uid}")
    latest = max(revisions, key=_revision_of)
    if latest.state not in {*ENDED, State.ASSESSED}:
        raise CommandFailed(
            f"{study_uid} is {latest.state}: it will be assessed with today's model and findings"
        )
    _require_images(latest)
    reason = because(ReasonCode.REASSESSED, revision=latest.revision)
    if not ledger.open_next_revision(latest, str(reason)):
        raise CommandFailed(f"{study_uid} has changed at this moment: try again")
    return latest.revision + 1


def resend_study(
    store: ResendingStore,
    destinations: Sequence[str],
    study_uid: str,
    destination: str = "",
    reports_for: ReportsFor | None = None,
) -> int:
    """Have the reports of a study sent again, although they were delivered; return how many.

    `destination` limits it to one of the configured `destinations`, whose waiting deliveries are
    tried now. One that was added after the study was reported gets what `reports_for` returns.
    Raises NotFound, and CommandFailed if the reports were removed.
    """
    _require_known(destination, destinations)
    sent = store.list_sent(study_uid)
    chosen = [delivery for delivery in sent if destination in {"", delivery.destination}]
    reported = store.find_reported(study_uid) if destination and not chosen else None
    if reported is not None and reports_for is not None:
        return _open_deliveries(store, reported, destination, reports_for(reported, destination))
    if not chosen:
        where = f" to {destination}" if destination else ""
        raise NotFound(f"no report of {study_uid} was ever due{where}; see `triage status`")
    if not all(delivery.is_kept for delivery in chosen):
        raise CommandFailed(
            f"reports of {study_uid} were removed by the `retention` settings: `triage replay "
            "--reassess` makes new ones if the images are kept, otherwise send the study again"
        )
    names = sorted({delivery.destination for delivery in chosen})
    reason = because(ReasonCode.RESENT, deliveries=len(chosen), destinations=", ".join(names))
    ids = [delivery.id for delivery in chosen]
    store.resend(study_uid, chosen[0].revision, ids, str(reason))
    if destination:
        store.hasten(destination)
    return len(chosen)


def _open_deliveries(
    store: ResendingStore, reported: ReportedRevision, destination: str, made: Sequence[Product]
) -> int:
    """Send reports to a destination that had no delivery of this study; return how many."""
    if not made:
        raise CommandFailed(
            f"no report of {reported.study_uid} is kept in a form that {destination} takes: "
            "`triage replay --reassess` makes new ones if the images are kept"
        )
    reason = because(ReasonCode.RESENT, deliveries=len(made), destinations=destination)
    opened = store.open_deliveries(reported, destination, made, str(reason))
    if not opened:
        raise CommandFailed(
            f"{reported.study_uid} is being assessed: its reports will go to {destination} as well"
        )
    return opened


def replay_failed_studies(ledger: StudyLedger) -> ReplayedStudies:
    """Make every failed study READY again that has no later revision."""
    failed = ledger.list_studies(State.FAILED)
    latest: dict[str, int] = {}
    # A declined revision made no report, so it supersedes nothing.
    for study in ledger.list_studies(*(state for state in State if state is not State.DECLINED)):
        latest[study.study_uid] = max(study.revision, latest.get(study.study_uid, 0))
    chosen = [study for study in failed if study.revision >= latest.get(study.study_uid, 0)]
    return ReplayedStudies(_move_to_ready(ledger, chosen), len(failed) - len(chosen))


def replay_deliveries(
    letters: DeadLetterStore,
    destinations: Sequence[str],
    *,
    ids: Sequence[int] = (),
    study_uid: str = "",
    destination: str = "",
) -> int:
    """Make given-up deliveries due again; return how many.

    `destinations` are the configured names. Raises NotFound for another destination, and
    CommandFailed if a delivery of `ids` or any of `study_uid` cannot be sent again.
    """
    _require_known(destination, destinations)
    count = letters.replay(ids=ids, study_uid=study_uid, destination=destination)
    if count < len(ids) or (study_uid and not count):
        raise CommandFailed(
            f"{count} deliveries are due again; the others were not given up, or their content "
            "was removed by the `retention` settings, or a later revision superseded them: see "
            "`triage status`"
        )
    return count


def _require_known(destination: str, destinations: Sequence[str]) -> None:
    if destination and destination not in destinations:
        known = ", ".join(destinations) or "none"
        raise NotFound(f"`destinations` in the settings has no {destination}; it has {known}")


def _require_images(study: StudyRevision) -> None:
    if study.pruned_at:
        raise CommandFailed(
            f"the images of {study.study_uid} were removed by the `retention` settings: send the "
            "study again from the PACS"
        )


def _revision_of(study: StudyRevision) -> int:
    return study.revision


def _move_to_ready(ledger: StudyLedger, studies: Sequence[StudyRevision]) -> int:
    reason = str(because(ReasonCode.REPLAYED))
    return sum(ledger.move(study, Event.REPLAYED, reason) for study in studies)
