"""`triage send`: send studies, as a PACS would."""

from pathlib import Path

import click

from triage.cli import terminal
from triage.dimse.association import RemoteEntity
from triage.dimse.store_scu import find_dicom_files, send_files
from triage.domain.errors import DeliveryFailed
from triage.runtime.settings import load_settings

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
    peer = RemoteEntity(
        host, port or receiver.plain_port(), called or receiver.ae_title, calling_ae
    )
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
