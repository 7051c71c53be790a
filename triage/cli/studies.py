"""`triage send` and `status`: studies on their way in, and what became of them."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from triage.audit import open_audit_spool
from triage.cases.case_access import KINDS as LOOKS_AT_CASES
from triage.cli import terminal
from triage.config import Settings, load
from triage.dimse.association import RemoteEntity
from triage.dimse.store_scu import find_dicom_files
from triage.dimse.store_scu import send_files as send_files
from triage.domain.errors import DeliveryFailed, NotFound
from triage.domain.study import State
from triage.pipeline.assess import read_summary
from triage.runtime.clock import SystemClock
from triage.runtime.storage import open_dead_letters, open_existing_ledger, open_notice_file
from triage.store.ledger import SqlLedger


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to send to.")
@click.option("--port", type=int, help="[default: receiver.port of the settings]")
@click.option("--called", help="AE title to call. [default: receiver.ae_title of the settings]")
@click.option("--calling", help="AE title to call as. [default: the first of receiver.calling]")
@click.pass_obj
def send(  # noqa: PLR0913, PLR0917 - click reads \b; one argument an option
    config: Path | None,
    folder: Path,
    host: str,
    port: int | None,
    called: str | None,
    calling: str | None,
) -> None:
    """Send every DICOM file below FOLDER over C-STORE, as a PACS would.

    \b
    triage --config triage.yaml send ./study
    triage send ./study --host 10.1.2.3 --port 104 --called ARCHIVE --calling ME
    """
    receiver = load(config).receiver
    ours = calling or next(iter(receiver.calling_titles()), "TRIAGE-SEND")
    peer = RemoteEntity(host, port or receiver.port, called or receiver.ae_title, ours)
    sent(find_dicom_files(folder), peer)


def sent(files: list[Path], peer: RemoteEntity) -> None:
    """Send files with a bar; say what was not stored, and raise DeliveryFailed then."""
    with terminal.progress("sending", len(files)) as bar:
        sent = send_files(files, peer, lambda: bar.advance(bar.task_ids[0]))
    failed = [each for each in sent if not each.stored]
    for each in failed[:10]:
        terminal.warn(f"not stored: {each.path}: {each.answer}")
    if failed:
        raise DeliveryFailed(f"{len(failed)} of {len(files)} instances were not stored")
    terminal.write(f"{len(files)} instances stored at {peer.ae_title}")


@click.command()
@click.argument("study_uid", required=False)
@click.option("--state", "states", multiple=True, type=click.Choice([*State]), help="Only these.")
@click.option("--incidents", default=10, show_default=True, help="How many of the newest to show.")
@click.option("--looks", default=0, show_default=True, help="As many looks at past cases.")
@click.option("--given-up", default=10, show_default=True, help="As many lost deliveries.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one object a study.")
@click.pass_obj
def status(  # noqa: PLR0913, PLR0917 - one argument an option
    config: Path | None,
    study_uid: str | None,
    states: tuple[str, ...],
    incidents: int,
    looks: int,
    given_up: int,
    *,
    as_json: bool,
) -> None:
    """Show what became of the studies, or everything about one STUDY_UID."""
    settings = load(config)
    ledger = open_existing_ledger(settings)
    if study_uid is not None:
        _one_study(ledger, study_uid)
        return
    found = ledger.list_studies(*(State(state) for state in states))
    if as_json:
        click.echo(json.dumps([asdict(study) for study in found], indent=2))
        return
    terminal.studies(found)
    if (held_back := open_notice_file(settings).read()) is not None:
        terminal.warn(held_back)
    terminal.outages(ledger.list_outages())
    letters = open_dead_letters(settings)
    terminal.given_up(letters.newest(given_up), letters.count())
    _tell_of_audit(settings)
    terminal.incidents(ledger.incidents(incidents, but=LOOKS_AT_CASES))
    terminal.incidents(ledger.incidents(looks, of=LOOKS_AT_CASES), "Looks at past cases")


def _tell_of_audit(settings: Settings) -> None:
    """Say how much of the audit trail its repository does not have yet."""
    if settings.audit is None:
        return
    spool = open_audit_spool(settings.state_dir, settings.audit, "", SystemClock())
    if waiting := spool.waiting():
        terminal.warn(f"{waiting} audit message(s) wait for the repository")
    if missed := spool.missed():
        terminal.warn(f"{missed} audit event(s) were NOT recorded: too many messages waited")


def _one_study(ledger: SqlLedger, study_uid: str) -> None:
    revisions = [study for study in ledger.list_studies() if study.study_uid == study_uid]
    if not revisions:
        raise NotFound(f"the ledger knows no study {study_uid}")
    terminal.studies(revisions)
    terminal.history(ledger.history(study_uid))
    terminal.deliveries(ledger.list_deliveries(study_uid, revisions[-1].revision))
    summary = ledger.get_summary(study_uid, revisions[-1].revision)
    if summary is not None:
        terminal.flags(read_summary(summary))
