"""`triage demo`: run the worker with a test PACS on this machine, and show the result."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click

from triage.cli import demo_site, terminal
from triage.cli.demo_documents import extract_documents
from triage.cli.studies import send_with_progress
from triage.dimse.store_scu import find_dicom_files
from triage.domain.reasons import ReasonCode
from triage.domain.study import StudyRevision
from triage.phantom.archive import write_study
from triage.phantom.heart import draw_heart
from triage.pipeline.assess import read_summary
from triage.ports.ledger import Ledger
from triage.runtime.clock import SystemClock
from triage.runtime.settings import load_settings
from triage.runtime.storage import open_ledger

DEMO_SEED = 5  #: a heart with several findings
NO_FLAGS = "trained on synthetic hearts, not for patients: no flags"


@click.command("demo", short_help="Try the worker with a synthetic study and a test PACS.")
@click.option(
    "--study",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Send this folder of DICOM files. [default: a synthetic heart, drawn now]",
)
@click.option(
    "--real", is_flag=True, help="Send the small real study of the project: scores, no flags."
)
@click.option(
    "--seed", default=DEMO_SEED, show_default=True, help="Random seed of the synthetic heart."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the received reports in this folder. [default: ./demo-received]",
)
@click.pass_obj
def demo_command(
    config: Path | None, study: Path | None, *, real: bool, seed: int, out: Path | None
) -> None:
    """Try the worker: a test PACS sends a study, receives the reports, and the flags are shown.

    The model is small and was trained on synthetic hearts only. The flags of a synthetic heart are
    compared with what was drawn. The scores of a real heart, such as that of --real, are shown, but
    the model is not for patients: every finding is Not Evaluated.

    The reports are kept as DICOM files, and the PDF also as .pdf with its first page as .png. The
    demo has settings of its own and refuses --config. It uses free ports of this machine and a
    temporary folder, and ends all processes that it started.

    \b
    Examples:
      triage demo
      triage demo --real
      triage demo --study ./study --out ./reports
    """
    if config is not None:
        raise click.UsageError(
            "demo has settings of its own: leave out --config, or run `triage serve` and "
            "`triage send` with your settings"
        )
    if real and study is not None:
        raise click.UsageError("--real and --study name two studies; give one")
    received = (out or Path("demo-received")).resolve()
    folder = Path(tempfile.mkdtemp(prefix="cmr-triage-demo-"))
    try:
        chosen = demo_site.REAL_STUDY if real else study or _draw(folder / "heart", seed)
        _run(find_dicom_files(chosen), demo_site.read_truth(chosen), folder, received)
    finally:
        shutil.rmtree(folder)


def _draw(folder: Path, seed: int) -> Path:
    heart = draw_heart(seed)
    terminal.write(f"drawing a heart: {', '.join(heart.pathologies)} (seed {seed}) ...")
    write_study(folder, heart)
    return folder


def _run(files: list[Path], truth: Mapping[str, bool] | None, folder: Path, received: Path) -> None:
    """Send the files to a worker, wait for the reports, and print flags and report files."""
    terminal.write("starting Redis, receiver, workers and a test PACS on this machine ...")
    with demo_site.run_site(folder, received) as site:
        send_with_progress(files, site.worker)
        ledger = open_ledger(load_settings(site.config, {}), SystemClock())
        with terminal.errors.status("waiting for the reports ..."):
            uids = demo_site.read_study_uids(files)
            ended = [demo_site.wait_for_end(ledger, uid) for uid in uids]
        for study in ended:
            _print_study(ledger, study, truth, received)
        ledger.close()


def _print_study(
    ledger: Ledger, study: StudyRevision, truth: Mapping[str, bool] | None, received: Path
) -> None:
    summary = ledger.get_summary(study.study_uid, study.revision)
    if summary is not None:
        assessment = read_summary(summary)
        terminal.print_flags(assessment, truth)
        if assessment.silence is ReasonCode.NOT_SYNTHETIC:
            terminal.write(NO_FLAGS, style="bold yellow")
    terminal.write(f"\nstudy {study.state}: {study.reason}")
    for delivery in ledger.list_deliveries(study.study_uid, study.revision):
        path = received / f"{delivery.product.sop_instance_uid}.dcm"
        terminal.write(f"{delivery.product.kind}: {path}")
        if path.is_file():
            for document in extract_documents(path):
                terminal.write(f"    as {document.suffix[1:]}: {document}")
