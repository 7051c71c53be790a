"""`triage send`, `status` and `replay`: studies on their way in, and what became of them."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from triage import terminal
from triage.assess import read_summary
from triage.bootstrap import existing_ledger, notice_of
from triage.cases.looks import KINDS as LOOKS_AT_CASES
from triage.config import load
from triage.domain.errors import ConfigurationError, DeliveryFailed
from triage.domain.study import Event, State
from triage.send import Peer, dicom_files
from triage.send import send as send_files
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
    ours = calling or next(iter(receiver.titles()), "TRIAGE-SEND")
    peer = Peer(host, port or receiver.port, called or receiver.ae_title, ours)
    sent(dicom_files(folder), peer)


def sent(files: list[Path], peer: Peer) -> None:
    """Send files with a bar; say what was not stored, and raise DeliveryFailed then."""
    with terminal.progress("sending", len(files)) as bar:
        sent = send_files(files, peer, lambda: bar.advance(bar.task_ids[0]))
    failed = [each for each in sent if not each.stored]
    for each in failed[:10]:
        terminal.complain(f"not stored: {each.path}: {each.answer}")
    if failed:
        raise DeliveryFailed(f"{len(failed)} of {len(files)} instances were not stored")
    terminal.say(f"{len(files)} instances stored at {peer.called_ae}")


@click.command()
@click.argument("study_uid", required=False)
@click.option("--state", "states", multiple=True, type=click.Choice([*State]), help="Only these.")
@click.option("--incidents", default=10, show_default=True, help="How many of the newest to show.")
@click.option("--looks", default=0, show_default=True, help="As many looks at past cases.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one object a study.")
@click.pass_obj
def status(  # noqa: PLR0913 - one argument an option
    config: Path | None,
    study_uid: str | None,
    states: tuple[str, ...],
    incidents: int,
    looks: int,
    *,
    as_json: bool,
) -> None:
    """Show what became of the studies, or everything about one STUDY_UID."""
    settings = load(config)
    ledger = existing_ledger(settings)
    if study_uid is not None:
        _one_study(ledger, study_uid)
        return
    found = ledger.studies(*(State(state) for state in states))
    if as_json:
        click.echo(json.dumps([asdict(study) for study in found], indent=2))
        return
    terminal.studies(found)
    if (held_back := notice_of(settings).read()) is not None:
        terminal.complain(held_back)
    terminal.incidents(ledger.incidents(incidents, but=LOOKS_AT_CASES))
    terminal.incidents(ledger.incidents(looks, of=LOOKS_AT_CASES), "Looks at past cases")


def _one_study(ledger: SqlLedger, study_uid: str) -> None:
    revisions = [study for study in ledger.studies() if study.study_uid == study_uid]
    if not revisions:
        raise ConfigurationError(f"the ledger knows no study {study_uid}")
    terminal.studies(revisions)
    terminal.history(ledger.history(study_uid))
    terminal.deliveries(ledger.deliveries(study_uid, revisions[-1].revision))
    summary = ledger.summary(study_uid, revisions[-1].revision)
    if summary is not None:
        terminal.flags(read_summary(summary))


@click.command()
@click.argument("study_uid", required=False)
@click.option("--all", "all_", is_flag=True, help="Every study that FAILED.")
@click.pass_obj
def replay(config: Path | None, study_uid: str | None, *, all_: bool) -> None:
    """Assess and deliver again: one failed or declined STUDY_UID, or all failed studies.

    What a destination has acknowledged is not sent to it again.
    """
    if (study_uid is None) != all_:
        raise click.UsageError("name a STUDY_UID, or say --all")
    ledger = existing_ledger(load(config))
    states = [State.FAILED] if all_ else [State.FAILED, State.DECLINED]
    failed = [s for s in ledger.studies(*states) if all_ or s.study_uid == study_uid]
    if not failed and not all_:
        raise ConfigurationError(f"no study {study_uid} is FAILED or DECLINED; see `triage status`")
    gone = [s for s in failed if s.pruned_at]
    if gone and not all_:
        raise ConfigurationError(
            f"the images of {study_uid} were removed as `retention` says: have it sent again"
        )
    replayed = [s for s in failed if ledger.move(s, Event.REPLAYED, "asked for by `replay`")]
    terminal.say(f"{len(replayed)} studies are ready again")
