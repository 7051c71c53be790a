"""`triage status`: show what happened to the studies."""

import json
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import click

from triage.cli import study_list, terminal
from triage.config import Settings
from triage.domain.errors import NotFound
from triage.domain.incident import CASE_ACCESS
from triage.domain.study import State
from triage.imaging.images import READ
from triage.pipeline.assess import read_summary
from triage.ports.instances import InstanceLedger
from triage.runtime.audit import count_audit_backlog
from triage.runtime.settings import load_settings
from triage.runtime.storage import (
    open_dead_letters,
    open_existing_ledger,
    open_notice_file,
    open_overview,
)

ON_A_PAGE = 20  #: studies
INCIDENTS_OF_STUDY = 100


@click.command(short_help="Show the studies, their states and problems.")
@click.argument("study_uid", required=False)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([*State]),
    help="Only studies in this state. Repeatable.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help=f"Show this many studies on a page. [default: {ON_A_PAGE}; with --json all]",
)
@click.option(
    "--page",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Show this page; page 1 has the newest studies.",
)
@click.option(
    "--incidents",
    default=10,
    show_default=True,
    help="Show this many of the newest incidents: rejected associations, quarantined files.",
)
@click.option(
    "--looks", default=0, show_default=True, help="Show this many of the newest accesses to cases."
)
@click.option(
    "--given-up",
    default=10,
    show_default=True,
    help="Show this many of the newest deliveries that were given up.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Write JSON: a list with one object for each study, or one object about STUDY_UID.",
)
@click.pass_obj
def status(  # noqa: PLR0913, PLR0917 - one argument for each option
    config: Path | None,
    study_uid: str | None,
    states: tuple[str, ...],
    limit: int | None,
    page: int,
    incidents: int,
    looks: int,
    given_up: int,
    *,
    as_json: bool,
) -> None:
    """Show the studies, newest first; with STUDY_UID, everything about one study.

    Each study has its state, flag, priority and accession number, the reason of its state, and the
    destinations that refused its reports.

    States: RECEIVING, READY (complete, waits for a worker), ASSESSING, ASSESSED (reports are being
    delivered), DELIVERED, DECLINED (not for this worker, with the reason), FAILED (`triage replay`
    tries again).

    \b
    Examples:
      triage --config triage.yaml status
      triage --config triage.yaml status --page 2
      triage --config triage.yaml status --state FAILED --state DECLINED
      triage --config triage.yaml status 1.2.840.113619.2.1
    """
    settings = load_settings(config)
    open_existing_ledger(settings).close()  # a mistyped folder must not become a state folder
    if study_uid is not None:
        _show_study(settings, study_uid, as_json=as_json)
        return
    only = [State(state) for state in states]
    if as_json:
        _write_studies(settings, only, limit, page)
        return
    _print_studies(settings, only, limit or ON_A_PAGE, page)
    _print_problems(settings, given_up)
    _print_incidents(settings, incidents, looks)


def _write_studies(
    settings: Settings, states: Collection[State], limit: int | None, page: int
) -> None:
    studies = open_overview(settings).list_newest(states, limit, (page - 1) * (limit or 0))
    click.echo(json.dumps([study_list.to_json(study) for study in studies], indent=2))


def _print_studies(settings: Settings, states: Collection[State], limit: int, page: int) -> None:
    overview = open_overview(settings)
    studies = overview.list_newest(states, limit, (page - 1) * limit)
    study_list.print_page(studies, overview.count(states), limit, page)


def _print_problems(settings: Settings, given_up: int) -> None:
    """Print why instances are refused, silent destinations, and reports that were given up."""
    if (notice := open_notice_file(settings).read()) is not None:
        terminal.warn(notice)
    terminal.print_outages(open_existing_ledger(settings).list_outages())
    letters = open_dead_letters(settings)
    terminal.print_dead_letters(letters.list_newest(given_up), letters.count())
    waiting, lost = count_audit_backlog(settings)
    if waiting:
        terminal.warn(f"{waiting} audit message(s) wait for the repository")
    if lost:
        terminal.warn(f"{lost} audit event(s) were NOT recorded: too many messages waited")


def _print_incidents(settings: Settings, incidents: int, looks: int) -> None:
    ledger = open_existing_ledger(settings)
    terminal.print_incidents(ledger.incidents(incidents, but=CASE_ACCESS), "Incidents")
    terminal.print_incidents(ledger.incidents(looks, of=CASE_ACCESS), "Access to past cases")


def _count_kept(ledger: InstanceLedger, study_uid: str, latest: int) -> dict[str, int]:
    """Return the instances of a study that are kept and never assessed, by SOP class."""
    kept = Counter[str]()
    for revision in range(1, latest + 1):
        for by_class in ledger.count_arrivals(study_uid, revision).values():
            kept.update({uid: n for uid, n in by_class.items() if uid not in READ})
    return dict(sorted(kept.items()))


def _show_study(settings: Settings, study_uid: str, *, as_json: bool) -> None:
    """Show revisions, history, deliveries, incidents and flags of one study."""
    ledger = open_existing_ledger(settings)
    revisions = open_overview(settings).list_revisions(study_uid)
    if not revisions:
        raise NotFound(f"the ledger has no study {study_uid}")
    latest = revisions[0].study.revision
    history, deliveries = ledger.history(study_uid), ledger.list_deliveries(study_uid, latest)
    summary = ledger.get_summary(study_uid, latest)
    incidents = ledger.incidents(INCIDENTS_OF_STUDY, study_uid=study_uid)
    kept = _count_kept(ledger, study_uid, latest)
    if as_json:
        found = study_list.describe(revisions, history, deliveries, summary, incidents, kept)
        click.echo(json.dumps(found, indent=2))
        return
    study_list.print_revisions(revisions)
    study_list.print_kept(kept)
    terminal.print_history(history)
    terminal.print_deliveries(deliveries)
    terminal.print_incidents(incidents, "Incidents of this study")
    if summary is not None:
        terminal.print_flags(read_summary(summary))
