"""`triage pull`: studies are fetched from an archive."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TextIO

import click

from triage.cli import terminal
from triage.cli.options import WORKLIST
from triage.config import Settings, load
from triage.domain.archive import WILD, ArchivedStudy, ArchiveQuery
from triage.domain.errors import ArchiveFailed, ConfigurationError
from triage.domain.uid import is_uid
from triage.pipeline.backfill import read_worklist
from triage.pipeline.retrieve import SUCCESSFUL, RetrieveOutcome, StudyRetriever, is_complete
from triage.ports.archive import DownloadTarget
from triage.runtime.paths import pulled_folder
from triage.runtime.retrieval import open_intake_target, open_study_retriever
from triage.store.download import FolderDownloadTarget, lock_download_folder
from triage.telemetry import logs

SHOWN = 20  #: reasons, at most
DAY = click.DateTime(formats=["%Y-%m-%d", "%Y%m%d"])


@click.command()
@click.argument("study_uids", nargs=-1, metavar="[STUDY_UID]...")
@click.option("--from", "name", required=True, metavar="NAME", help="An archive of the settings.")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write them below this folder, for `triage index`. Nothing is assessed.",
)
@click.option(
    "--assess",
    is_flag=True,
    help="Give them to the worker, which assesses and REPORTS them; wait while it takes no more.",
)
@click.option("--list", "only_list", is_flag=True, help="Fetch nothing; show what would be.")
@click.option(
    "--worklist",
    type=WORKLIST,
    help="The studies whose UIDs stand in this file, one a line; of a CSV, in its first column.",
)
@click.option("--since", type=DAY, metavar="DATE", help="First study date, e.g. 2024-01-31.")
@click.option("--until", type=DAY, metavar="DATE", help="Last study date. [default: today]")
@click.option("--patient", default="", metavar="ID", help="All studies of this Patient ID.")
@click.option("--modality", default="", help="Only studies that have it, e.g. MR.")
@click.option("--description", default="", help="Only where it is part of Study Description.")
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

    A study is fetched whole or not at all: as many images must come as the archive has. Stopped
    and begun again, even by kill -9, it goes on where it was: say the same once more. What is there
    is not fetched again, unless the archive has more of it by now. Ends with 2 where any failed.

    The archives are named in the settings (`archives`), each with how it is reached (C-GET, C-MOVE
    or DICOMweb), how fast, and at which hours. Dates are asked for day by day, so that no archive's
    limit cuts the answer short.

    \b
    See first what would come:
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
        raise click.UsageError("say --into FOLDER or --assess; with --list nothing is fetched")
    first, last = (None if each is None else each.date() for each in (since, until))
    search = _search(patient, first, last, modality.upper(), description)
    uids = _uids(study_uids, worklist)
    if bool(uids) == (search is not None):
        raise click.UsageError("say STUDY_UIDs or --worklist, or else --since or --patient")
    settings = load(config)
    logs.configure(settings.log)
    puller = open_study_retriever(settings, name, to_intake=assess)
    root, shelf = _shelf(settings, name, into)
    studies = dict.fromkeys(uids) if search is None else _found(puller, search)
    if only_list:
        _show(puller, shelf, studies)
        return
    with lock_download_folder(root):
        _fetch(puller, shelf, studies)


#: Studies by UID, with what the archive has told of them, if it was asked already.
Studies = Mapping[str, ArchivedStudy | None]


def _search(
    patient: str, since: date | None, until: date | None, modality: str, description: str
) -> ArchiveQuery | None:
    """Return what is looked for, None where neither a patient nor days are said."""
    if since is None and not patient:
        if until or modality or description:
            raise click.UsageError("--until, --modality, --description need --since or --patient")
        return None
    if WILD.search(patient + modality):
        raise click.UsageError("a Patient ID and a modality have no * ? or \\ here")
    if since is not None:
        today = datetime.now(UTC).astimezone().date()
        if (until or today) < since:
            wrong = "--until is before --since" if until else "--since lies in the future"
            raise click.UsageError(wrong)
        until = until or today
    return ArchiveQuery("", patient, since, until, modality, description)


def _uids(study_uids: tuple[str, ...], worklist: TextIO | None) -> list[str]:
    """Return the Study UIDs that are named, each once, in order."""
    listed = () if worklist is None else read_worklist(worklist)
    if worklist is not None and not listed:
        raise click.UsageError(f"{worklist.name} names no Study UID")
    uids = list(dict.fromkeys([*study_uids, *listed]))
    if wrong := [uid for uid in uids if not is_uid(uid)]:
        raise click.UsageError(f"is no Study UID: {wrong[0]!r}")
    return uids


def _shelf(settings: Settings, name: str, into: Path | None) -> tuple[Path, DownloadTarget]:
    if into is None:
        shelf = open_intake_target(settings, name)
        return pulled_folder(settings), shelf
    if into.resolve().is_relative_to(settings.state_dir.resolve()):
        raise ConfigurationError(f"{into} lies in the state folder: what is there is assessed")
    return into, FolderDownloadTarget(into)


def _found(puller: StudyRetriever, search: ArchiveQuery) -> Studies:
    """Ask for the studies of a search, day by day."""
    days = list(search.split_by_day())
    found: dict[str, ArchivedStudy | None] = {}
    with terminal.progress("asking", len(days)) as bar:
        for day in days:
            found |= {study.study_uid: study for study in puller.find(day)}
            bar.advance(bar.task_ids[0])
    return found


def _show(puller: StudyRetriever, shelf: DownloadTarget, studies: Studies) -> None:
    """Print what would be fetched, without anything that names a patient."""
    there = 0
    for uid, known in studies.items():
        study = known or puller.look_up(uid)
        have = shelf.count_instances(uid) if is_uid(uid) else 0
        there += is_complete(study, have)
        click.echo("\t".join(_columns(study, have)))
    terminal.warn(f"{len(studies) - there} studies would be fetched, {there} are there already")


def _columns(study: ArchivedStudy, have: int) -> tuple[str, ...]:
    counted = "?" if study.instances is None else str(study.instances)
    return (
        study.study_uid if is_uid(study.study_uid) else "(no UID)",
        study.study_date if study.study_date.isdigit() else "-",
        ",".join(each for each in study.modalities if each.isalnum()) or "-",
        f"{have} of {counted} instances are there" if have else f"{counted} instances",
    )


def _fetch(puller: StudyRetriever, shelf: DownloadTarget, studies: Studies) -> None:
    """Fetch one study after the other; say in any case what became of them."""
    told = 0
    try:
        with terminal.progress("fetching", len(studies), hourly=True) as bar:
            for uid, known in studies.items():
                outcome, why = puller.retrieve(shelf, uid, known)
                if why and (told := told + 1) <= SHOWN:
                    name = uid if is_uid(uid) else "(no UID)"
                    bar.console.print(f"{outcome} {name}: {why}", markup=False, highlight=False)
                bar.advance(bar.task_ids[0])
    finally:
        terminal.write(_closing(puller, len(studies)))
    bad = sum(times for outcome, times in puller.outcomes.items() if outcome not in SUCCESSFUL)
    if bad:
        raise ArchiveFailed(f"{bad} studies were not fetched; say the same again to try them anew")


def _closing(puller: StudyRetriever, total: int) -> str:
    said = [f"{puller.outcomes[outcome]} {outcome}" for outcome in RetrieveOutcome]
    rest = total - puller.outcomes.total()
    return ", ".join(said + ([f"{rest} not tried"] if rest else []))
