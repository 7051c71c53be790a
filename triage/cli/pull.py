"""`triage pull`: fetch studies from an archive."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TextIO

import click

from triage.cli import terminal
from triage.cli.options import WORKLIST
from triage.domain.archive import WILD, ArchivedStudy, ArchiveQuery
from triage.domain.errors import ArchiveFailed
from triage.domain.uid import is_uid
from triage.pipeline.backfill import read_worklist
from triage.pipeline.retrieve import SUCCESSFUL, RetrieveOutcome, StudyRetriever, is_complete
from triage.ports.archive import DownloadTarget
from triage.runtime.retrieval import (
    lock_download,
    open_download_target,
    open_study_retriever,
)
from triage.runtime.settings import load_settings
from triage.telemetry import logs

SHOWN = 20  #: reasons printed, at most
DAY = click.DateTime(formats=["%Y-%m-%d", "%Y%m%d"])


@click.command(short_help="Fetch studies from an archive.")
@click.argument("study_uids", nargs=-1, metavar="[STUDY_UID]...")
@click.option(
    "--from", "name", required=True, metavar="NAME", help="Name of an archive in the settings."
)
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the studies below this folder, for `triage index`. Nothing is assessed.",
)
@click.option(
    "--assess",
    is_flag=True,
    help="Pass the studies to the worker, which assesses them and sends REPORTS. Waits while the "
    "worker accepts no more.",
)
@click.option("--list", "only_list", is_flag=True, help="Only list what would be fetched.")
@click.option(
    "--worklist",
    type=WORKLIST,
    help="Fetch the studies whose UIDs are in this file, one on each line; in a CSV file, in the "
    "first column.",
)
@click.option("--since", type=DAY, metavar="DATE", help="First study date, e.g. 2024-01-31.")
@click.option("--until", type=DAY, metavar="DATE", help="Last study date. [default: today]")
@click.option("--patient", default="", metavar="ID", help="All studies of this Patient ID.")
@click.option("--modality", default="", help="Only studies with this modality, e.g. MR.")
@click.option("--description", default="", help="Only studies with this in Study Description.")
@click.pass_obj
def pull(  # noqa: PLR0913 - one argument for each option
    config: Path | None,
    study_uids: tuple[str, ...],
    *,
    name: str,
    into: Path | None,
    assess: bool,
    only_list: bool,
    worklist: TextIO | None,
    since: datetime | None,
    until: datetime | None,
    patient: str,
    modality: str,
    description: str,
) -> None:
    """Fetch studies from an archive: by STUDY_UID, from a worklist, of a patient, or by date.

    A study is fetched completely or not at all: as many images must arrive as the archive has. If
    the command is interrupted, even by kill -9, run it again: it continues where it stopped.
    Studies that are complete already are not fetched again, unless the archive has more images by
    now. Exit status 2 if a study could not be fetched.

    The settings name the archives (`archives`), how each is reached (C-GET, C-MOVE or DICOMweb),
    how fast, and at which hours. Dates are queried day by day, so that no limit of the archive cuts
    the answer short.

    \b
    First see what would be fetched:
      triage pull --from pacs --since 2019-01-01 --modality MR --into /archive/cmr --list
    Fill the case library over some nights:
      triage pull --from pacs --since 2019-01-01 --modality MR --into /archive/cmr
      triage index /archive/cmr --reports reports.csv
    From a list:
      triage pull --from pacs --worklist studies.csv --into /archive/cmr
    Assess one study now, and report it:
      triage pull --from pacs 1.2.840.113619.2.1 --assess
    """
    if (into is not None) + assess != 1:
        raise click.UsageError("give --into FOLDER or --assess; with --list nothing is fetched")
    first, last = (None if day is None else day.date() for day in (since, until))
    query = _build_query(patient, first, last, modality.upper(), description)
    uids = _list_uids(study_uids, worklist)
    if bool(uids) == (query is not None):
        raise click.UsageError("give either STUDY_UIDs or --worklist, or --since or --patient")
    settings = load_settings(config)
    logs.configure(settings.log)
    retriever = open_study_retriever(settings, name, to_intake=assess)
    target = open_download_target(settings, name, into)
    studies = dict.fromkeys(uids) if query is None else _find_studies(retriever, query)
    if only_list:
        _print_studies(retriever, target, studies)
        return
    with lock_download(settings, into):
        _fetch(retriever, target, studies)


#: Studies by UID, with the archive's answer about them; None: the archive was not asked yet.
Studies = Mapping[str, ArchivedStudy | None]


def _build_query(
    patient: str, since: date | None, until: date | None, modality: str, description: str
) -> ArchiveQuery | None:
    """Return the query of the options; None without a patient and a first date."""
    if since is None and not patient:
        if until or modality or description:
            raise click.UsageError("--until, --modality, --description need --since or --patient")
        return None
    if WILD.search(patient + modality):
        raise click.UsageError("a Patient ID and a modality must not contain * ? or \\ here")
    if since is not None:
        today = datetime.now(UTC).astimezone().date()
        if (until or today) < since:
            wrong = "--until is before --since" if until else "--since is in the future"
            raise click.UsageError(wrong)
        until = until or today
    return ArchiveQuery("", patient, since, until, modality, description)


def _list_uids(study_uids: tuple[str, ...], worklist: TextIO | None) -> list[str]:
    """Return the Study UIDs of the arguments and the worklist, each once, in order."""
    listed = () if worklist is None else read_worklist(worklist)
    if worklist is not None and not listed:
        raise click.UsageError(f"{worklist.name} contains no Study UID")
    uids = list(dict.fromkeys([*study_uids, *listed]))
    if wrong := [uid for uid in uids if not is_uid(uid)]:
        raise click.UsageError(f"is no Study UID: {wrong[0]!r}")
    return uids


def _find_studies(retriever: StudyRetriever, query: ArchiveQuery) -> Studies:
    """Query the archive day by day; return the studies found."""
    days = list(query.split_by_day())
    found: dict[str, ArchivedStudy | None] = {}
    with terminal.progress("querying", len(days)) as bar:
        for day in days:
            found |= {study.study_uid: study for study in retriever.find(day)}
            bar.advance(bar.task_ids[0])
    return found


def _print_studies(retriever: StudyRetriever, target: DownloadTarget, studies: Studies) -> None:
    """Print what would be fetched, without anything that identifies a patient."""
    complete = 0
    for uid, known in studies.items():
        study = known or retriever.look_up(uid)
        stored = target.count_instances(uid) if is_uid(uid) else 0
        complete += is_complete(study, stored)
        click.echo("\t".join(_format_row(study, stored)))
    terminal.warn(
        f"{len(studies) - complete} studies would be fetched, {complete} are here already"
    )


def _format_row(study: ArchivedStudy, stored: int) -> tuple[str, ...]:
    total = "?" if study.instances is None else str(study.instances)
    return (
        study.study_uid if is_uid(study.study_uid) else "(no UID)",
        study.study_date if study.study_date.isdigit() else "-",
        ",".join(modality for modality in study.modalities if modality.isalnum()) or "-",
        f"{stored} of {total} instances are here" if stored else f"{total} instances",
    )


def _fetch(retriever: StudyRetriever, target: DownloadTarget, studies: Studies) -> None:
    """Fetch the studies one after the other; print the outcomes even if an error ends it."""
    reasons = 0
    try:
        with terminal.progress("fetching", len(studies), hourly=True) as bar:
            for uid, known in studies.items():
                outcome, why = retriever.retrieve(target, uid, known)
                if why and (reasons := reasons + 1) <= SHOWN:
                    name = uid if is_uid(uid) else "(no UID)"
                    bar.console.print(f"{outcome} {name}: {why}", markup=False, highlight=False)
                bar.advance(bar.task_ids[0])
    finally:
        terminal.write(_summarize(retriever, len(studies)))
    bad = sum(times for outcome, times in retriever.outcomes.items() if outcome not in SUCCESSFUL)
    if bad:
        raise ArchiveFailed(f"{bad} studies were not fetched: run the command again to retry them")


def _summarize(retriever: StudyRetriever, total: int) -> str:
    counts = [f"{retriever.outcomes[outcome]} {outcome}" for outcome in RetrieveOutcome]
    rest = total - retriever.outcomes.total()
    return ", ".join(counts + ([f"{rest} not tried"] if rest else []))
