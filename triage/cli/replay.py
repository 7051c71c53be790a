"""`triage replay`: what failed is tried again, because a person says so."""

from collections.abc import Mapping
from pathlib import Path

import click

from triage.cli import terminal
from triage.config import Settings, load
from triage.domain.errors import CommandFailed, NotFound
from triage.domain.study import Event, State, StudyRevision
from triage.runtime.storage import open_dead_letters, open_existing_ledger
from triage.store.ledger import SqlLedger


@click.command()
@click.argument("study_uid", required=False)
@click.option("--all", "all_", is_flag=True, help="Every study that FAILED.")
@click.option(
    "--deliveries",
    is_flag=True,
    help="Assess nothing: send again what was given up, of STUDY_UID or --all.",
)
@click.option("--to", "destination", help="So too, what was given up to this destination.")
@click.option(
    "--delivery",
    "ids",
    type=int,
    multiple=True,
    help="So too, this one, by its number in `triage status`.",
)
@click.pass_obj
def replay(  # noqa: PLR0913 - one argument an option
    config: Path | None,
    study_uid: str | None,
    *,
    all_: bool,
    deliveries: bool,
    destination: str | None,
    ids: tuple[int, ...],
) -> None:
    """Assess and deliver again: one failed or declined STUDY_UID, or all failed studies.

    What a destination has acknowledged is not sent to it again. Of what was given up, a revision
    that a later one has followed is sent only by its number, and is assessed again only where its
    study is named and no later one can be.

    \b
    triage replay --all                  assess the failed studies again
    triage replay --deliveries --all     send again what was given up, as it is
    triage replay --to pacs              the same, of one destination
    triage replay --delivery 17          the same, of one
    """
    named = [study_uid is not None, all_, destination is not None, bool(ids)]
    if sum(named) != 1:
        raise click.UsageError("name a STUDY_UID, or say --all, --to or --delivery, one of them")
    settings = load(config)
    open_existing_ledger(settings).close()
    if deliveries or destination is not None or ids:
        _send_again(settings, study_uid or "", destination or "", ids)
    else:
        _assess_again(settings, study_uid)


def _assess_again(settings: Settings, study_uid: str | None) -> None:
    ledger = open_existing_ledger(settings)
    failed = ledger.list_studies(State.FAILED) if study_uid is None else [_named(ledger, study_uid)]
    latest = _latest(ledger)
    # What a later revision has said of all images would be followed by what an earlier one says.
    chosen = [
        s for s in failed if study_uid is not None or s.revision >= latest.get(s.study_uid, 0)
    ]
    replayed = [s for s in chosen if ledger.move(s, Event.REPLAYED, "asked for by `replay`")]
    terminal.write(f"{len(replayed)} studies are ready again")
    if followed := len(failed) - len(chosen):
        terminal.write(f"{followed} are left as they are, for a later revision has followed")


def _named(ledger: SqlLedger, study_uid: str) -> StudyRevision:
    """Return the latest revision of a study that can be assessed again."""
    ended = ledger.list_studies(State.FAILED, State.DECLINED)
    mine = [each for each in ended if each.study_uid == study_uid]
    if not mine:
        raise NotFound(f"no study {study_uid} is FAILED or DECLINED; see `triage status`")
    last = max(mine, key=lambda each: each.revision)
    if last.pruned_at:
        raise CommandFailed(
            f"the images of {study_uid} were removed as `retention` says: have it sent again"
        )
    return last


def _latest(ledger: SqlLedger) -> Mapping[str, int]:
    """Return the latest revision by study; one that was declined says nothing in its place."""
    found: dict[str, int] = {}
    for each in ledger.list_studies(*(state for state in State if state is not State.DECLINED)):
        found[each.study_uid] = max(each.revision, found.get(each.study_uid, 0))
    return found


def _send_again(settings: Settings, study_uid: str, destination: str, ids: tuple[int, ...]) -> None:
    names = [each.name for each in settings.destinations]
    if destination and destination not in names:
        known = ", ".join(names) or "none"
        raise NotFound(f"destinations has no {destination}; it has {known}")
    letters = open_dead_letters(settings)
    count = letters.replay(ids=ids, study_uid=study_uid, destination=destination)
    if count < len(ids) or (study_uid and not count):
        raise CommandFailed(
            f"{count} deliveries are due again; the others were not given up, what they send was "
            "removed as `retention` says, or a later revision has followed: see `triage status`"
        )
    terminal.write(f"{count} deliveries are due again")
