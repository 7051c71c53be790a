"""`triage score`: score the studies of a folder, without a site."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from triage.cli import score_output, terminal
from triage.domain.errors import CommandFailed, NotFound
from triage.domain.reasons import ReasonCode
from triage.pipeline.folder_studies import FolderStudies, find_studies_in_folder, list_files
from triage.pipeline.score_studies import FolderStudy, ScoreRow, list_folder_studies
from triage.pipeline.score_table import ScoreTable, open_score_table, to_values
from triage.pipeline.score_truth import (
    KnownFindings,
    count_labelled_studies,
    measure_scores,
    read_truth,
)
from triage.runtime.scoring import (
    Scoring,
    choose_model,
    choose_workers,
    open_scoring,
    score_in_processes,
)
from triage.runtime.settings import load_settings
from triage.telemetry import logs

RESEARCH_USE = (
    "research use only: a score or flag is no finding, and Not Evaluated does not mean absent"
)


@click.command(short_help="Score the studies of a folder, without a site.")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--bundle",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of the model. [default: that of the settings; without settings, the demo bundle]",
)
@click.option(
    "--findings",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Findings file. [default: that of the settings; with the demo bundle, its own]",
)
@click.option(
    "--csv",
    "out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the rows to this file, or continue it. [default: print tables]",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON for programs.")
@click.option(
    "--truth",
    "truth_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Compare the scores with this CSV file of known findings.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Processes. [default: one for each core; one on a GPU]",
)
@click.pass_obj
def score(  # noqa: PLR0913 - one argument for each option
    config: Path | None,
    folder: Path,
    *,
    bundle: Path | None,
    findings: Path | None,
    out: Path | None,
    as_json: bool,
    truth_file: Path | None,
    workers: int | None,
) -> None:
    """Score every study of the DICOM files below FOLDER. Research use only.

    It needs no settings, PACS, broker or ledger, sends nothing and changes nothing but the file of
    --csv. Views, scores, flags and reasons are those that the worker would report. A score that the
    worker would not report is shown too, with the reason why its finding is Not Evaluated. A study
    that cannot be scored has one row with the reason.

    With --csv the rows are written study by study. If the command is interrupted, run it again: it
    continues where it stopped. The file contains patient IDs and accession numbers.

    The CSV file of --truth needs a line of headings: study_uid, accession or patient_id; and for
    each known finding its id, with 1 for present, 0 for absent, or blank for unknown. The area
    under the ROC curve, sensitivity and specificity are printed with their 95 % intervals; JSON
    also has the points of the curve:

    \b
      accession,lv_dilation,lge
      A4711,1,0

    \b
    Examples:
      triage score ./studies
      triage score ./studies --bundle ./model --findings findings.yaml --csv scores.csv
      triage score ./studies --csv scores.csv --truth known.csv --json > scores.json
    """
    of_site = load_settings(config)
    settings = choose_model(of_site, bundle, findings)
    logs.configure(settings.log)
    terminal.warn(RESEARCH_USE)
    is_chosen = findings is not None or settings.findings != of_site.findings
    scoring = open_scoring(settings, by_file=is_chosen)
    truth = None if truth_file is None else read_truth(truth_file, scoring.finding_ids)
    found = _read_folder(folder)
    studies = list_folder_studies(found)
    count = workers or choose_workers(settings)
    with _open_table(out, scoring, studies) as table:
        rows, is_interrupted = _score(scoring, studies, count, table)
    if as_json:
        click.echo(json.dumps(_build_json(scoring, found, rows, truth), indent=2))
    else:
        if out is None:
            score_output.print_rows(rows)
        score_output.print_tally(rows, scoring.finding_ids, scoring.views)
        if truth is not None:
            score_output.print_measurements(measure_scores(rows, truth, scoring.finding_ids))
    if truth is not None:
        _check_truth(truth, rows)
    _end(rows, studies, out, is_interrupted=is_interrupted)


def _read_folder(folder: Path) -> FolderStudies:
    """Return the studies of a folder; print what is no usable DICOM file."""
    with terminal.progress("reading", len(list_files(folder))) as bar:
        found = find_studies_in_folder(folder, lambda: bar.advance(bar.task_ids[0]))
    if not found.studies and not found.damaged:
        raise NotFound(f"{folder} holds no DICOM file")
    score_output.print_left_out(found)
    return found


@contextmanager
def _open_table(
    out: Path | None, scoring: Scoring, studies: Sequence[FolderStudy]
) -> Iterator[ScoreTable | None]:
    if out is None:
        yield None
        return
    table = open_score_table(out, scoring.made_with, scoring.finding_ids, studies)
    with closing(table):
        yield table


def _score(
    scoring: Scoring, studies: Sequence[FolderStudy], workers: int, table: ScoreTable | None
) -> tuple[list[ScoreRow], bool]:
    """Score what a table lacks; return all rows by study, and whether an interrupt ended it."""
    done = {} if table is None else dict(table.done)
    if done:
        terminal.warn(f"{len(done)} studies have been scored before")
    left = [study for study in studies if study.study_uid not in done]
    with (
        suppress(KeyboardInterrupt),
        terminal.progress("scoring", len(left), hourly=True) as bar,
        closing(score_in_processes(scoring, left, workers)) as scored,
    ):
        for rows in scored:
            if table is not None:
                table.append(rows)
            done[rows[0].study_uid] = rows
            bar.advance(bar.task_ids[0])
    is_interrupted = any(study.study_uid not in done for study in left)
    return [row for uid in sorted(done) for row in done[uid]], is_interrupted


def _build_json(
    scoring: Scoring, found: FolderStudies, rows: Sequence[ScoreRow], truth: KnownFindings | None
) -> dict[str, Any]:
    measured = [] if truth is None else measure_scores(rows, truth, scoring.finding_ids)
    return {
        "made_with": scoring.made_with,
        "bundle": scoring.bundle.digest,
        "findings": scoring.findings.digest,
        "files": {
            "no_dicom": found.others,
            "damaged": [
                {"file": file.path, "study_uid": file.study_uid, "reason": file.reason}
                for file in found.damaged
            ],
        },
        "rows": [to_values(row, scoring.made_with) for row in rows],
        "measured": [score_output.measurement_to_json(each) for each in measured],
    }


def _check_truth(truth: KnownFindings, rows: Sequence[ScoreRow]) -> None:
    """Print which part of the truth was used."""
    if truth.ignored:
        terminal.warn(f"columns that are no finding: {', '.join(truth.ignored)}")
    studies = len({row.study_uid for row in rows})
    terminal.warn(
        f"{count_labelled_studies(rows, truth)} of {studies} studies have a label by {truth.key}"
    )


def _end(
    rows: Sequence[ScoreRow],
    studies: Sequence[FolderStudy],
    out: Path | None,
    *,
    is_interrupted: bool,
) -> None:
    """Raise CommandFailed if some studies have no final row."""
    again = "" if out is None else ": run the command again to continue"
    if is_interrupted:
        scored = {row.study_uid for row in rows}
        left = sum(study.study_uid not in scored for study in studies)
        raise CommandFailed(f"interrupted, {left} of {len(studies)} studies are not scored{again}")
    failed = sum(row.code is ReasonCode.SCORING_FAILED for row in rows)
    if failed:
        raise CommandFailed(f"{failed} studies failed with an error, see their reasons{again}")
