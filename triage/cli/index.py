"""`triage index`: past studies become cases."""

import os
from collections import Counter
from pathlib import Path
from typing import TextIO

import click

from triage.cases.readings.report_index import ReportIndex, read_reports
from triage.cli import terminal
from triage.cli.options import WORKLIST, folder_argument, parent_option
from triage.config import Settings, load
from triage.domain.errors import CommandFailed, ConfigurationError, NotFound
from triage.imaging.rules import load_rules
from triage.model.bundle import open_bundle
from triage.pipeline.backfill import (
    Indexer,
    IndexOutcome,
    StudyFiles,
    exclude_known_cases,
    find_assessed_studies,
    find_studies_in_folder,
    list_files,
    read_worklist,
    select_studies,
)
from triage.pipeline.model_input import Read
from triage.runtime.model import open_model
from triage.runtime.storage import open_existing_ledger, open_past_cases, open_spool
from triage.runtime.supervisor import end_with_parent
from triage.telemetry import logs

BACKGROUND = 10  #: niceness: the studies of today go first
SHOWN = 20  #: reasons, at most


@click.command()
@folder_argument
@click.option("--spool", is_flag=True, help="The studies that this site has assessed.")
@click.option(
    "--reports",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Radiologists' reports: CSV files, HL7 ORU files, or folders of them. Repeatable.",
)
@click.option(
    "--worklist",
    type=WORKLIST,
    help="Only the studies whose UIDs stand in this file, one a line.",
)
@click.option("--again", is_flag=True, help="Embed what is a case already, too.")
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
    parent: int | None,
) -> None:
    """Make past studies cases: those below FOLDER, or with --spool those of this site.

    Nothing is sent and no flag raised. Stopped and begun again, it goes on where it was.
    Radiologists' SRs beside the images are read by themselves; other reports come with --reports.
    Of a report the impression alone is kept, without names, dates and numbers.

    \b
    A CSV needs a line of headings: accession or study_uid, impression or report, and, if findings
    were confirmed, confirmed (their ids, separated by spaces; none; or blank: not said):
      accession,impression,confirmed
      A4711,"Dilated left ventricle.",lv_dilation

    \b
    triage index /archive/cmr --reports reports.csv
    triage index --spool
    """
    if (folder is None) != spool:
        raise click.UsageError("say FOLDER, or --spool for the studies of this site")
    settings = load(config)
    logs.configure(settings.log)
    if parent is not None:
        end_with_parent(parent)
        os.nice(BACKGROUND)
        settings = _with_one_thread(settings)
    archive, read = _of_site(settings) if folder is None else _of_folder(folder)
    if parent is not None:
        past = open_past_cases(settings, open_bundle(settings.model.bundle))
        archive = exclude_known_cases(past.library, archive)
        if not archive:
            return
    if worklist is not None:
        archive = select_studies(archive, read_worklist(worklist))
    broken = _index(settings, archive, read, reports, again=again)
    if broken and parent is None:
        raise CommandFailed(f"{broken} studies are broken; they are tried again next time")


def _with_one_thread(settings: Settings) -> Settings:
    return settings.model_copy(update={"model": settings.model.model_copy(update={"threads": 1})})


def _of_site(settings: Settings) -> tuple[StudyFiles, Read]:
    return find_assessed_studies(open_existing_ledger(settings)), open_spool(settings).read


def _of_folder(folder: Path) -> tuple[StudyFiles, Read]:
    with terminal.progress("reading", len(list_files(folder))) as bar:
        archive, others = find_studies_in_folder(folder, lambda: bar.advance(bar.task_ids[0]))
    if not archive:
        raise NotFound(f"{folder} holds no DICOM study")
    if others:
        terminal.warn(f"{others} files are no DICOM, or damaged")
    return archive, lambda path: Path(path).read_bytes()


def _index(
    settings: Settings, archive: StudyFiles, read: Read, paths: tuple[Path, ...], *, again: bool
) -> int:
    """Index an archive, and say what became of it; return how many studies are broken."""
    model = open_model(settings, cache=None)
    if not model.identity.trained:
        raise ConfigurationError("the bundle is untrained: what it is near to means nothing")
    reports = read_reports(paths)
    past = open_past_cases(settings, model.bundle)
    rules = load_rules(settings.series_rules)
    indexer = Indexer(model, past, rules, read, reports, reindex=again)
    became: Counter[IndexOutcome] = Counter()
    with terminal.progress("indexing", len(archive), hourly=True) as bar:
        for study_uid, files_ in archive.items():
            outcome, why = indexer.index(study_uid, files_)
            became[outcome] += 1
            if why and became[IndexOutcome.DECLINED] + became[IndexOutcome.BROKEN] <= SHOWN:
                bar.console.print(f"{outcome} {study_uid}: {why}", markup=False, highlight=False)
            bar.advance(bar.task_ids[0])
    terminal.write(", ".join(f"{count} {outcome}" for outcome, count in became.items()))
    _tell(reports)
    return became[IndexOutcome.BROKEN]


def _tell(reports: ReportIndex) -> None:
    tally = reports.tally
    if tally.joined or tally.read:
        terminal.write(
            f"{tally.joined} studies met their report; {tally.read} were read from files"
        )
    for count, why in (
        (tally.without_impression, "have no impression under a heading"),
        (tally.other_patient, "name another patient than the images, and are left out"),
        (tally.other_study, "name another study of the same accession number, and are left out"),
    ):
        if count:
            terminal.warn(f"{count} reports {why}")
