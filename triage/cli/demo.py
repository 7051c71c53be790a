"""`triage demo`: the whole way, on this machine."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click

from triage.cli import demo_site as demo
from triage.cli import terminal
from triage.cli.studies import sent
from triage.config import load
from triage.dimse.store_scu import find_dicom_files
from triage.phantom.archive import write_study
from triage.phantom.heart import draw_heart
from triage.pipeline.assess import read_summary
from triage.runtime.clock import SystemClock
from triage.runtime.storage import open_ledger

DEMO_SEED = 5  #: a heart with several findings


@click.command("demo")
@click.option(
    "--study",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder of DICOM files. [default: a synthetic heart, drawn now]",
)
@click.option("--real", is_flag=True, help="The small real study that comes with the project.")
@click.option("--seed", default=DEMO_SEED, show_default=True, help="Which heart is drawn.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep everything here that the test PACS received. [default: ./demo-received]",
)
def demo_command(study: Path | None, *, real: bool, seed: int, out: Path | None) -> None:
    """See the whole way: a test PACS sends a study, the report comes back, flags are shown.

    A synthetic heart meets a small model that was trained on such hearts, and its flags are
    compared with what was drawn. Any other study meets an untrained one: nothing is evaluated.
    Uses free loopback ports and a temporary folder, and ends everything that it started.
    """
    if real and study is not None:
        raise click.UsageError("--real and --study name two studies; give one")
    received = (out or Path("demo-received")).resolve()
    folder = Path(tempfile.mkdtemp(prefix="cmr-triage-demo-"))
    try:
        sent = demo.REAL_STUDY if real else study or _drawn(folder / "heart", seed)
        files, truth = find_dicom_files(sent), demo.read_truth(sent)
        _show(files, truth, folder, received)
    finally:
        shutil.rmtree(folder)


def _drawn(folder: Path, seed: int) -> Path:
    heart = draw_heart(seed)
    terminal.write(f"drawing a heart: {', '.join(heart.pathologies)} (seed {seed}) ...")
    write_study(folder, heart)
    return folder


def _show(
    files: list[Path], truth: Mapping[str, bool] | None, folder: Path, received: Path
) -> None:
    say = terminal.write
    bundle = demo.UNTRAINED if truth is None else demo.DRAWN_HEARTS
    say("starting Redis, receiver, workers and a test PACS on loopback ...")
    with demo.run_site(folder, received, bundle) as running:
        sent(files, running.worker)
        ledger = open_ledger(load(running.config, {}), SystemClock())
        with terminal.complaints.status("waiting for the report ..."):
            ended = [demo.wait_for_end(ledger, uid) for uid in demo.read_study_uids(files)]
        for study in ended:
            summary = ledger.get_summary(study.study_uid, study.revision)
            if summary is not None:
                terminal.flags(read_summary(summary), truth)
            say(f"\nstudy {study.state}: {study.reason}")
            for each in ledger.list_deliveries(study.study_uid, study.revision):
                say(f"{each.product.kind}: {received / each.product.sop_instance_uid}.dcm")
        ledger.close()
