"""Use case: assess or deliver again at the request of an operator.

A destination that has acknowledged a product does not get it again. A revision that a later one
superseded is left as it is, unless it is named: its report would appear newer than the later one.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from triage.domain.errors import CommandFailed, NotFound
from triage.domain.reasons import ReasonCode, because
from triage.domain.study import Event, State, StudyRevision
from triage.ports.studies import StudyLedger


class DeadLetterStore(Protocol):
    """The deliveries that were given up."""

    def replay(
        self, *, ids: Collection[int] = (), study_uid: str = "", destination: str = ""
    ) -> int:
        """Make deliveries due again that were given up; return how many there were."""


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
        raise NotFound(f"no study {study_uid} is FAILED or DECLINED; see `triage status`")
    latest = max(revisions, key=lambda study: study.revision)
    if latest.pruned_at:
        raise CommandFailed(
            f"the images of {study_uid} were removed by the `retention` settings: send the study "
            "again from the PACS"
        )
    return ReplayedStudies(_move_to_ready(ledger, [latest]), 0)


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
    if destination and destination not in destinations:
        known = ", ".join(destinations) or "none"
        raise NotFound(f"`destinations` in the settings has no {destination}; it has {known}")
    count = letters.replay(ids=ids, study_uid=study_uid, destination=destination)
    if count < len(ids) or (study_uid and not count):
        raise CommandFailed(
            f"{count} deliveries are due again; the others were not given up, or their content "
            "was removed by the `retention` settings, or a later revision superseded them: see "
            "`triage status`"
        )
    return count


def _move_to_ready(ledger: StudyLedger, studies: Sequence[StudyRevision]) -> int:
    reason = str(because(ReasonCode.REPLAYED))
    return sum(ledger.move(study, Event.REPLAYED, reason) for study in studies)
