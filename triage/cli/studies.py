"""`triage send` and `triage status`: send studies, and show what happened to them."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from triage.cli import terminal
from triage.config import Settings
from triage.dimse.association import RemoteEntity
from triage.dimse.store_scu import find_dicom_files, send_files
from triage.domain.errors import DeliveryFailed, NotFound
from triage.domain.incident import CASE_ACCESS
from triage.domain.study import State
from triage.pipeline.assess import read_summary
from triage.runtime.audit import count_audit_backlog
from triage.runtime.settings import load_settings
from triage.runtime.storage import open_dead_letters, open_existing_ledger, open_notice_file

FAILURES_SHOWN = 10


@click.command(short_help="Send a folder of DICOM files over C-STORE.")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the receiver.")
@click.option("--port", type=int, help="Its port. [default: receiver.port of the settings]")
@click.option("--called", help="Its AE title. [default: receiver.ae_title of the settings]")
@click.option("--calling", help="Our AE title. [default: the first of receiver.calling]")
@click.pass_obj
def send(  # noqa: PLR0913, PLR0917 - one argument for each option
    config: Path | None,
    folder: Path,
    host: str,
    port: int | None,
    called: str | None,
    calling: str | None,
) -> None:
    """Send every DICOM file below FOLDER over C-STORE, as a PACS would.

    Use it to try the worker without a PACS. Exit status 2 if an instance was not stored.

    \b
    To the worker of these settings:
      triage --config triage.yaml send ./study
    To another receiver:
      triage send ./study --host 10.1.2.3 --port 104 --called ARCHIVE --calling ME
    """
    receiver = load_settings(config).receiver
    calling_ae = calling or next(iter(receiver.calling_titles()), "TRIAGE-SEND")
    peer = RemoteEntity(host, port or receiver.port, called or receiver.ae_title, calling_ae)
    send_with_progress(find_dicom_files(folder), peer)


def send_with_progress(files: list[Path], peer: RemoteEntity) -> None:
    """Send files with a progress bar; print failures and raise DeliveryFailed if there are any."""
    with terminal.progress("sending", len(files)) as bar:
        results = send_files(files, peer, lambda: bar.advance(bar.task_ids[0]))
    failed = [result for result in results if not result.stored]
    for result in failed[:FAILURES_SHOWN]:
        terminal.warn(f"not stored: {result.path}: {result.answer}")
    if failed:
        raise DeliveryFailed(f"{len(failed)} of {len(files)} instances were not stored")
    terminal.write(f"{len(files)} instances stored at {peer.ae_title}")


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
@click.option("--json", "as_json", is_flag=True, help="Write JSON, one object for each study.")
@click.pass_obj
def status(  # noqa: PLR0913, PLR0917 - one argument for each option
    config: Path | None,
    study_uid: str | None,
    states: tuple[str, ...],
    incidents: int,
    looks: int,
    given_up: int,
    *,
    as_json: bool,
) -> None:
    """Show the studies, their states and problems; with STUDY_UID, everything about one study.

    States: RECEIVING, READY (complete, waits for a worker), ASSESSING, ASSESSED (reports are being
    delivered), DELIVERED, DECLINED (not for this worker, with the reason), FAILED (`triage replay`
    tries again).

    \b
    Examples:
      triage --config triage.yaml status
      triage --config triage.yaml status --state FAILED --state DECLINED
      triage --config triage.yaml status 1.2.840.113619.2.1
    """
    settings = load_settings(config)
    if study_uid is not None:
        _print_study(settings, study_uid)
        return
    ledger = open_existing_ledger(settings)
    studies = ledger.list_studies(*(State(state) for state in states))
    if as_json:
        click.echo(json.dumps([asdict(study) for study in studies], indent=2))
        return
    terminal.print_studies(studies)
    if (notice := open_notice_file(settings).read()) is not None:
        terminal.warn(notice)
    terminal.print_outages(ledger.list_outages())
    letters = open_dead_letters(settings)
    terminal.print_dead_letters(letters.list_newest(given_up), letters.count())
    _print_audit_backlog(settings)
    terminal.print_incidents(ledger.incidents(incidents, but=CASE_ACCESS), "Incidents")
    terminal.print_incidents(ledger.incidents(looks, of=CASE_ACCESS), "Access to past cases")


def _print_audit_backlog(settings: Settings) -> None:
    waiting, lost = count_audit_backlog(settings)
    if waiting:
        terminal.warn(f"{waiting} audit message(s) wait for the repository")
    if lost:
        terminal.warn(f"{lost} audit event(s) were NOT recorded: too many messages waited")


def _print_study(settings: Settings, study_uid: str) -> None:
    """Print states, history, deliveries and flags of one study."""
    ledger = open_existing_ledger(settings)
    revisions = [study for study in ledger.list_studies() if study.study_uid == study_uid]
    if not revisions:
        raise NotFound(f"the ledger has no study {study_uid}")
    terminal.print_studies(revisions)
    terminal.print_history(ledger.history(study_uid))
    terminal.print_deliveries(ledger.list_deliveries(study_uid, revisions[-1].revision))
    summary = ledger.get_summary(study_uid, revisions[-1].revision)
    if summary is not None:
        terminal.print_flags(read_summary(summary))
