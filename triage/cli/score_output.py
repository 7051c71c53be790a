"""The output of `triage score` on a terminal: tables of scores, totals and measurements."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from rich.table import Table
from rich.text import Text

from triage.cli import terminal
from triage.domain.assessment import Flag
from triage.pipeline.folder_studies import FolderStudies
from triage.pipeline.score_studies import ScoreRow
from triage.pipeline.score_truth import ScoreMeasurement

SHOWN = 20  #: damaged files and reasons printed, at most
FEW = 10  #: studies with or without a finding, below which intervals are no guide


def print_left_out(found: FolderStudies) -> None:
    """Print how many files are no DICOM, and which are damaged."""
    if found.others:
        terminal.warn(f"{found.others} files are no DICOM")
    if found.damaged:
        terminal.warn(f"{len(found.damaged)} DICOM files are damaged and not used:")
    for file in found.damaged[:SHOWN]:
        terminal.warn(f"    {file.path}: {file.reason}")
    if (more := len(found.damaged) - SHOWN) > 0:
        terminal.warn(f"    and {more} more")


def print_rows(rows: Sequence[ScoreRow]) -> None:
    """Print a table for each study; a study without scores has its reason instead."""
    for study_uid, group in groupby(rows, lambda row: row.study_uid):
        of_study = list(group)
        first = of_study[0]
        terminal.write(f"\n{study_uid or 'files that state no study'}", style="bold")
        terminal.write(_describe_study(first))
        if first.remarks:
            terminal.write(first.remarks, style="yellow")
        if first.finding:
            terminal.console.print(_build_table(of_study))
        else:
            terminal.write(f"no score: {first.why}", style="yellow")


def _describe_study(row: ScoreRow) -> str:
    parts = [f"patient {row.patient_id or '-'}", f"accession {row.accession or '-'}"]
    parts.append(f"{row.files} files")
    if row.views:
        parts.append(f"views {' '.join(row.views)}")
    if row.distance is not None:
        likeness = "like" if row.familiar else "unlike"
        parts.append(f"distance {row.distance:.2f}, {likeness} the studies that the model knows")
    return ", ".join(parts)


def _build_table(rows: Sequence[ScoreRow]) -> Table:
    table = Table()
    for heading in ("Finding", "Flag", "Score", "Threshold", "Why"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        terminal.add_plain_row(
            table,
            row.finding,
            Text(row.flag, terminal.FLAG_COLOURS[row.flag]),
            terminal.format_score(row.score),
            terminal.format_score(row.threshold),
            row.why,
        )
    return table


def print_tally(rows: Sequence[ScoreRow], findings: Sequence[str], views: Sequence[str]) -> None:
    """Print how often each finding is flagged, why others are Not Evaluated, and the views."""
    studies = {row.study_uid for row in rows}
    scored = {row.study_uid for row in rows if row.finding}
    unfamiliar = {row.study_uid for row in rows if row.familiar is False}
    terminal.write(
        f"\n{len(studies)} studies, {len(studies) - len(scored)} of them without scores; "
        f"{len(unfamiliar)} are unlike the studies that the model knows"
    )
    one_each = {row.study_uid: row.views for row in rows}
    shown = Counter(view for filled in one_each.values() for view in filled)
    terminal.write("views: " + ", ".join(f"{view} in {shown[view]}" for view in views))
    table = Table()
    for heading in ("Finding", "Flagged", "Not flagged", "Not Evaluated"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        flags = Counter(row.flag for row in rows if row.finding == finding)
        counts = (flags[Flag.YES], flags[Flag.NO], len(studies) - flags[Flag.YES] - flags[Flag.NO])
        terminal.add_plain_row(table, finding, *map(str, counts))
    terminal.console.print(table)
    reasons = Counter(row.why for row in rows if row.finding and not row.is_evaluated)
    _print_reasons("scores Not Evaluated", reasons)
    _print_reasons("studies without scores", Counter(row.why for row in rows if not row.finding))


def _print_reasons(what: str, reasons: Counter[str]) -> None:
    for why, count in reasons.most_common(SHOWN):
        terminal.write(f"{count} {what}: {why}")
    if (more := len(reasons) - SHOWN) > 0:
        terminal.write(f"{what}: {more} more reasons")


def print_measurements(measured: Sequence[ScoreMeasurement]) -> None:
    """Print how well the scores separate studies with and without each finding."""
    terminal.write("\nmeasured against the known findings, with 95 % intervals:")
    for each in measured:
        terminal.write(
            f"{each.finding}, {each.basis}: {each.positives} studies with it, {each.negatives} "
            f"without; {each.unscored} have no such score"
        )
        if each.evaluated < each.positives + each.negatives:
            terminal.write(f"    the worker would report {each.evaluated} of these scores")
        for what, rate in (
            ("area under the ROC curve", each.auc),
            ("sensitivity: flagged among those with it", each.sensitivity),
            ("specificity: not flagged among those without it", each.specificity),
        ):
            terminal.write(f"    {what}: {'not known' if rate is None else rate}")
    if any(min(each.positives, each.negatives) < FEW for each in measured):
        terminal.write(f"fewer than {FEW} studies with or without a finding prove little")


def measurement_to_json(measured: ScoreMeasurement) -> dict[str, Any]:
    """Return a measurement for JSON, with the points of its ROC curve."""
    return {**asdict(measured), "roc": [point._asdict() for point in measured.roc]}
