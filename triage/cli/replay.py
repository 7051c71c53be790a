"""`triage replay`: assess or deliver again at the request of an operator."""

from pathlib import Path

import click

from triage.cli import terminal
from triage.pipeline.replay import replay_deliveries, replay_failed_studies, replay_study
from triage.runtime.settings import load_settings
from triage.runtime.storage import open_dead_letters, open_existing_ledger


@click.command(short_help="Assess failed studies or send reports again.")
@click.argument("study_uid", required=False)
@click.option("--all", "all_", is_flag=True, help="Every study that FAILED.")
@click.option(
    "--deliveries",
    is_flag=True,
    help="Do not assess: send again the reports that were given up, of STUDY_UID or --all.",
)
@click.option(
    "--to", "destination", help="Send again the reports that were given up to this destination."
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
    destination: str | None,
    ids: tuple[int, ...],
) -> None:
    """Assess failed studies again, or send again reports that were given up.

    Use it after the cause is corrected: `triage status` shows the reason of each failure. With
    STUDY_UID a declined study is assessed again, too.

    A destination that has acknowledged a report does not get it again. If a later revision of the
    study exists, --all leaves the earlier one as it is; a report of an earlier revision is sent
    only by its number.

    \b
    Examples:
      triage replay --all                        assess all failed studies again
      triage replay 1.2.840.113619.2.1           assess one failed or declined study again
      triage replay --deliveries --all           send again all reports that were given up
      triage replay --to pacs                    only those for this destination
      triage replay --delivery 17                only this one
    """
    chosen = [study_uid is not None, all_, destination is not None, bool(ids)]
    if sum(chosen) != 1:
        raise click.UsageError("give one of: a STUDY_UID, --all, --to or --delivery")
    settings = load_settings(config)
    ledger = open_existing_ledger(settings)
    if deliveries or destination is not None or ids:
        names = [known.name for known in settings.destinations]
        letters = open_dead_letters(settings)
        count = replay_deliveries(
            letters, names, ids=ids, study_uid=study_uid or "", destination=destination or ""
        )
        terminal.write(f"{count} deliveries are due again")
        return
    replayed = (
        replay_failed_studies(ledger) if study_uid is None else replay_study(ledger, study_uid)
    )
    terminal.write(f"{replayed.ready} studies are ready again")
    if replayed.superseded:
        terminal.write(f"{replayed.superseded} are left as they are: a later revision exists")
