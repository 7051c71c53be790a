"""`triage index`: add past studies to the case library."""

import os
from collections import Counter
from pathlib import Path
from typing import TextIO

import click

from triage.cases.readings.report_index import ReportIndex, read_reports
from triage.cli import terminal
from triage.cli.options import WORKLIST, folder_argument, parent_option
from triage.config import Settings
from triage.domain.errors import CommandFailed, NotFound
from triage.pipeline.backfill import (
    Indexer,
    IndexOutcome,
    exclude_known_cases,
    find_assessed_studies,
    read_worklist,
    select_studies,
)
from triage.pipeline.folder_studies import StudyFiles, find_studies_in_folder, list_files
from triage.pipeline.model_input import Read
from triage.runtime.cases import build_indexer
from triage.runtime.model import open_site_bundle
from triage.runtime.parent import Parent, give_signs
from triage.runtime.settings import load_settings
from triage.runtime.storage import open_existing_ledger, open_past_cases, open_spool
from triage.telemetry import logs
from triage.telemetry.progress import PROGRESS, note_progress

BACKGROUND = 10  #: niceness: new studies go first
BACKGROUND_FACTOR = 10  #: by which a step takes longer with this niceness on a busy machine
SHOWN = 20  #: reasons printed, at most


@click.command(short_help="Add past studies to the case library.")
@folder_argument
@click.option("--spool", is_flag=True, help="Index the studies that this site has assessed.")
@click.option(
    "--reports",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Radiologists' reports: CSV files, HL7 ORU files, or folders of them. Repeatable.",
)
@click.option(
    "--worklist",
    type=WORKLIST,
    help="Index only the studies whose UIDs are in this file, one on each line.",
)
@click.option("--again", is_flag=True, help="Also embed studies again that are cases already.")
@parent_option
@click.pass_obj
def index(  # noqa: PLR0913 - one argument for each option
    config: Path | None,
    folder: Path | None,
    *,
    spool: bool,
    reports: tuple[Path, ...],
    worklist: TextIO | None,
    again: bool,
    parent: Parent | None,
) -> None:
    """Add past studies to the case library: those below FOLDER, or with --spool those of this site.

    New studies are compared with these cases, and `triage search` finds them. Nothing is sent and
    no flag is raised. If the command is interrupted, run it again: it continues where it stopped.

    Radiologists' Structured Reports beside the images are read without an option; --reports adds
    others. Only the impression of a report is stored, without names, dates and numbers.

    A CSV file of reports needs a line of headings: accession or study_uid; impression or report;
    and, if findings were confirmed, confirmed (finding ids separated by spaces, "none", or blank
    for unknown):

    \b
      accession,impression,confirmed
      A4711,"Dilated left ventricle.",lv_dilation

    \b
    Examples:
      triage index /archive/cmr --reports reports.csv
      triage index --spool
    """
    if (folder is None) != spool:
        raise click.UsageError("give FOLDER, or --spool for the studies of this site")
    if parent is not None:
        give_signs(parent)
    settings = load_settings(config)
    logs.configure(settings.log)
    if parent is not None:
        PROGRESS.begin(BACKGROUND_FACTOR * settings.worker.stalled_s)
        os.nice(BACKGROUND)
        settings = _limit_to_one_thread(settings)
    archive, read = _list_site(settings) if folder is None else _list_folder(folder)
    if parent is not None:
        past = open_past_cases(settings, open_site_bundle(settings))
        archive = exclude_known_cases(past.library, archive)
        if not archive:
            return
    if worklist is not None:
        archive = select_studies(archive, read_worklist(worklist))
    known_reports = read_reports(reports)
    indexer = build_indexer(settings, read, known_reports, again=again)
    broken = _index(indexer, archive)
    _print_report_tally(known_reports)
    if broken and parent is None:
        raise CommandFailed(
            f"{broken} studies failed with an error, see above: run the command again to retry them"
        )


def _limit_to_one_thread(settings: Settings) -> Settings:
    return settings.model_copy(update={"model": settings.model.model_copy(update={"threads": 1})})


def _list_site(settings: Settings) -> tuple[StudyFiles, Read]:
    """Return the assessed studies of this site, and the function that reads their files."""
    return find_assessed_studies(open_existing_ledger(settings)), open_spool(settings).read


def _list_folder(folder: Path) -> tuple[StudyFiles, Read]:
    """Return the studies below a folder, and the function that reads their files."""
    with terminal.progress("reading", len(list_files(folder))) as bar:
        found = find_studies_in_folder(folder, lambda: bar.advance(bar.task_ids[0]))
    if not found.studies:
        raise NotFound(f"{folder} holds no DICOM study")
    if left_out := found.others + len(found.damaged):
        terminal.warn(f"{left_out} files are no DICOM, or damaged")
    return found.studies, lambda path: Path(path).read_bytes()


def _index(indexer: Indexer, archive: StudyFiles) -> int:
    """Index the studies of an archive and print the outcomes; return how many are broken."""
    outcomes: Counter[IndexOutcome] = Counter()
    with terminal.progress("indexing", len(archive), hourly=True) as bar:
        for study_uid, paths in archive.items():
            outcome, why = indexer.index(study_uid, paths)
            note_progress()
            outcomes[outcome] += 1
            if why and outcomes[IndexOutcome.DECLINED] + outcomes[IndexOutcome.BROKEN] <= SHOWN:
                bar.console.print(f"{outcome} {study_uid}: {why}", markup=False, highlight=False)
            bar.advance(bar.task_ids[0])
    terminal.write(", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()))
    return outcomes[IndexOutcome.BROKEN]


def _print_report_tally(reports: ReportIndex) -> None:
    tally = reports.tally
    if tally.joined or tally.read:
        terminal.write(
            f"{tally.joined} studies matched a report; {tally.read} reports were read from files"
        )
    for count, why in (
        (tally.without_impression, "have no impression under a heading"),
        (tally.other_patient, "are skipped: they name another patient than the images"),
        (tally.other_study, "are skipped: they name another study of the same accession number"),
    ):
        if count:
            terminal.warn(f"{count} reports {why}")
