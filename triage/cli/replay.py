"""`triage replay`: assess or deliver again at the request of an operator."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from triage.cli import terminal
from triage.config import Settings
from triage.pipeline.replay import (
    reassess_study,
    replay_deliveries,
    replay_failed_studies,
    replay_study,
    resend_study,
)
from triage.ports.studies import StudyLedger
from triage.runtime.newcomers import list_newcomer_reports
from triage.runtime.settings import load_settings
from triage.runtime.storage import open_dead_letters, open_existing_ledger, open_resending


@click.command(short_help="Assess studies or send reports again.")
@click.argument("study_uid", required=False)
@click.option("--all", "all_", is_flag=True, help="Every study that FAILED.")
@click.option(
    "--deliveries",
    is_flag=True,
    help="Do not assess: send again the reports that were given up, of STUDY_UID or --all.",
)
@click.option(
    "--resend",
    metavar="UID",
    help="Send the reports of this study again, the same bytes, although they were delivered.",
)
@click.option(
    "--reassess",
    metavar="UID",
    help="Assess this study again with today's model and findings, as a new revision.",
)
@click.option(
    "--to",
    "destination",
    help="Send again the reports that were given up to this destination, and try now those that "
    "wait for it. With --resend: send to this destination alone.",
)
@click.option(
    "--delivery",
    "ids",
    type=int,
    multiple=True,
    help="Send again this report, by its number in `triage status`. Repeatable.",
)
@click.pass_obj
def replay(  # noqa: PLR0913 - one argument for each option
    config: Path | None,
    study_uid: str | None,
    *,
    all_: bool,
    deliveries: bool,
    resend: str | None,
    reassess: str | None,
    destination: str | None,
    ids: tuple[int, ...],
) -> None:
    """Assess studies again, or send reports again.

    Use it after the cause of a failure is corrected: `triage status` shows the reason. With
    STUDY_UID a declined study is assessed again, too.

    A destination that has acknowledged a report gets it again only with --resend, for a PACS that
    lost its data. With --to, a destination that was added later gets the reports as well. The new
    reports of --reassess name those that they replace. While a destination does not answer, --to
    tries it now. If a later revision of the study exists, --all leaves the earlier one as it is; a
    report of an earlier revision is sent only by its number.

    \b
    Examples:
      triage replay --all                        assess all failed studies again
      triage replay 1.2.840.113619.2.1           assess one failed or declined study again
      triage replay --reassess 1.2.840.113619.2.1    any study, with today's findings
      triage replay --resend 1.2.840.113619.2.1 --to pacs    send its reports again
      triage replay --deliveries --all           send again all reports that were given up
      triage replay --to pacs                    only those for this destination
      triage replay --delivery 17                only this one
    """
    only_to = destination is not None and resend is None
    chosen = (study_uid, all_, resend, reassess, only_to, ids)
    if sum(map(bool, chosen)) != 1:
        raise click.UsageError(
            "give one of: a STUDY_UID, --all, --resend, --reassess, --to or --delivery"
        )
    settings = load_settings(config)
    ledger = open_existing_ledger(settings)
    if resend:
        _resend(settings, resend, destination or "")
    elif reassess:
        revision = reassess_study(ledger, reassess)
        terminal.write(f"revision {revision} of {reassess} is ready to be assessed")
    elif deliveries or only_to or ids:
        _replay_deliveries(settings, ids, study_uid or "", destination or "")
    else:
        _replay_studies(ledger, study_uid)


def _resend(settings: Settings, study_uid: str, destination: str) -> None:
    store = open_resending(settings)
    reports_for = partial(list_newcomer_reports, settings)
    count = resend_study(store, _names(settings), study_uid, destination, reports_for)
    terminal.write(f"{count} deliveries are due again")


def _replay_deliveries(
    settings: Settings, ids: Sequence[int], study_uid: str, destination: str
) -> None:
    """Send again what was given up, and try now what waits for `destination`."""
    letters, names = open_dead_letters(settings), _names(settings)
    hastened = open_resending(settings).hasten(destination) if destination in names else 0
    count = replay_deliveries(letters, names, ids=ids, study_uid=study_uid, destination=destination)
    terminal.write(f"{count} deliveries are due again")
    if hastened:
        terminal.write(f"{hastened} that wait for {destination} are tried now")


def _replay_studies(ledger: StudyLedger, study_uid: str | None) -> None:
    replayed = (
        replay_failed_studies(ledger) if study_uid is None else replay_study(ledger, study_uid)
    )
    terminal.write(f"{replayed.ready} studies are ready again")
    if replayed.superseded:
        terminal.write(f"{replayed.superseded} are left as they are: a later revision exists")


def _names(settings: Settings) -> list[str]:
    return [destination.name for destination in settings.destinations]
