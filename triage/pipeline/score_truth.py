"""Compares the scores of `triage score` with what is known of the studies.

    accession,lv_dilation,lge
    A4711,1,0
    A4712,0,

Columns, in any order: `study_uid`, `accession` or `patient_id`, of which the first that a table has
is used; and one for each finding that is known, named by its id: 1 is present, 0 absent, and empty
unknown. Other columns are ignored.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from triage.cases.readings.csv_rows import read_rows
from triage.domain.errors import ConfigurationError
from triage.domain.performance import Rate, observed_rate
from triage.domain.spreadsheet_cells import unquote_formula
from triage.model.roc import Floats, RocPoint, measure_area, trace_curve
from triage.pipeline.score_studies import ScoreRow

KEYS = ("study_uid", "accession", "patient_id")
SEED = 0  #: of the bootstrap: the same scores give the same interval

Labels = Mapping[str, bool]  #: by finding id, those that are known


class Basis(StrEnum):
    """The scores that are measured."""

    ALL = "all scores"
    EVALUATED = "evaluated only"  #: without the scores of findings that are Not Evaluated


@dataclass(frozen=True)
class KnownFindings:
    """The known findings of studies."""

    key: str  #: column of the scores by which studies are found
    labels: Mapping[str, Labels]  #: by value of the key
    ignored: tuple[str, ...]  #: columns that are no finding

    def find(self, row: ScoreRow) -> Labels:
        """Return what is known of the study of a row."""
        return self.labels.get(getattr(row, self.key).strip(), {})


@dataclass(frozen=True)
class ScoreMeasurement:
    """How well the scores of a finding separate studies with and without it."""

    finding: str
    basis: Basis
    positives: int  #: studies with the finding that have a score
    negatives: int  #: studies without it that have a score
    unscored: int  #: studies with a label that have no such score
    evaluated: int  #: of the scores, those that the worker would report
    thresholds: tuple[float, ...]  #: several if they depend on the views of a study
    auc: Rate | None  #: None without positives or without negatives
    sensitivity: Rate | None  #: at the thresholds, of the scores that have one; None without any
    specificity: Rate | None
    roc: tuple[RocPoint, ...]


def read_truth(path: Path, findings: Sequence[str]) -> KnownFindings:
    """Return the labels of findings; raise ConfigurationError with the line of what is wrong."""
    columns: list[str] = []

    def check_columns(names: Sequence[str]) -> None:
        columns.extend(names)
        _check_columns(names, path, findings)

    labels: dict[str, Labels] = {}
    for line, row in read_rows(path, check_columns):
        key = unquote_formula(row[_choose_key(columns)].strip())
        known = dict(_parse_labels(row, findings, f"{path}, line {line}"))
        if key and labels.setdefault(key, known) != known:
            raise ConfigurationError(
                f"{path}, line {line}: another row has the same {_choose_key(columns)} and other "
                "labels"
            )
    ignored = tuple(name for name in columns if name not in {*findings, *KEYS})
    return KnownFindings(_choose_key(columns), labels, ignored)


def _check_columns(columns: Sequence[str], path: Path, findings: Sequence[str]) -> None:
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise ConfigurationError(f"{path}, line 1: two columns are named {', '.join(twice)}")
    if not {*columns} & {*KEYS} or not {*columns} & {*findings}:
        raise ConfigurationError(
            f"{path}, line 1: the first line must name the columns: {', '.join(KEYS[:-1])} or "
            f"{KEYS[-1]}, and at least one of the findings {', '.join(findings)}"
        )


def _choose_key(columns: Sequence[str]) -> str:
    return next(name for name in KEYS if name in columns)


def _parse_labels(
    row: Mapping[str, str], findings: Sequence[str], place: str
) -> Iterator[tuple[str, bool]]:
    for finding in findings:
        match row.get(finding, "").strip():
            case "":
                continue
            case "0" | "0.0":
                yield finding, False
            case "1" | "1.0":
                yield finding, True
            case other:
                raise ConfigurationError(f"{place}: {finding} is {other!r}, not 0, 1 or empty")


def count_labelled_studies(rows: Sequence[ScoreRow], truth: KnownFindings) -> int:
    """Return how many of the studies have a label."""
    return len({row.study_uid for row in rows if truth.find(row)})


def measure_scores(
    rows: Sequence[ScoreRow], truth: KnownFindings, findings: Sequence[str]
) -> list[ScoreMeasurement]:
    """Return the measurements of each finding with labels.

    The second basis is measured if the worker would report some of the scores and not the others.
    """
    found = []
    for finding in findings:
        known = {row.study_uid: truth.find(row) for row in rows}
        labels = {uid: each[finding] for uid, each in known.items() if finding in each}
        of_finding = [row for row in rows if row.finding == finding and row.study_uid in labels]
        scored = [row for row in of_finding if row.score is not None]
        evaluated = [row for row in scored if row.is_evaluated]
        if labels:
            found.append(_measure(finding, Basis.ALL, scored, labels))
        if evaluated and len(evaluated) < len(scored):
            found.append(_measure(finding, Basis.EVALUATED, evaluated, labels))
    return found


def _measure(
    finding: str, basis: Basis, rows: Sequence[ScoreRow], labels: Labels
) -> ScoreMeasurement:
    """Measure the rows of a finding; `labels` are by Study Instance UID."""
    scores: Floats = np.array([row.score for row in rows], np.float64)
    truth = np.array([labels[row.study_uid] for row in rows], bool)
    positives, negatives = int(truth.sum()), int((~truth).sum())
    has_both = bool(positives and negatives)
    flags = [
        (labels[row.study_uid], row.score > row.threshold)
        for row in rows
        if row.score is not None and row.threshold is not None
    ]
    return ScoreMeasurement(
        finding=finding,
        basis=basis,
        positives=positives,
        negatives=negatives,
        unscored=len(labels) - len(rows),
        evaluated=sum(row.is_evaluated for row in rows),
        thresholds=tuple(sorted({row.threshold for row in rows if row.threshold is not None})),
        auc=measure_area(scores, truth, np.random.default_rng(SEED)) if has_both else None,
        sensitivity=_measure_agreement([flag for holds, flag in flags if holds]),
        specificity=_measure_agreement([not flag for holds, flag in flags if not holds]),
        roc=trace_curve(scores, truth) if has_both else (),
    )


def _measure_agreement(agreements: Sequence[bool]) -> Rate | None:
    return observed_rate(sum(agreements), len(agreements)) if agreements else None
