"""What a bundle is worth on labelled pairs: the published tables, from the graphs that will serve.

Rule: everything is measured through the bundle's ONNX graphs and the worker's own scoring, never
through the torch network, so that what is reported is what runs. Labels are used to measure and
to calibrate; training never saw them.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from export.metrics import (
    Floats,
    Measured,
    balanced_threshold,
    few_shot_auc,
    measured,
    retrieval,
    specific_threshold,
)
from export.pairs import Pairs
from triage.domain.finding import FindingSet
from triage.model.bundle import (
    CALIBRATION,
    MANIFEST,
    Bundle,
    Calibration,
    Threshold,
    sha256_of,
    write_manifest,
)
from triage.model.scoring import score
from triage.ports import Encoder

REPORT = "report.md"
FIGURES = "figures.json"
FOLDS = 5
SEED = 0  #: of bootstrap and episodes: the same pairs give the same figures


@dataclass(frozen=True)
class Embedded:
    """Pairs as a bundle sees them."""

    studies: NDArray[np.float32]  #: (N, D), unit
    texts: NDArray[np.float32]  #: (N, D), unit: the impressions
    scores: Mapping[str, Floats]  #: finding id -> (N,)


@dataclass(frozen=True)
class Evaluation:
    """Everything that is reported."""

    zero_shot: Mapping[str, Measured]
    groups: Mapping[str, Mapping[str, Measured]]  #: "vendor=GE" -> finding id -> ...
    few_shot: Mapping[str, Mapping[int, float]]  #: label -> shots -> AUC
    probes: Mapping[str, Measured]  #: label -> logistic regression on the embedding, 5 folds
    retrieval: Mapping[str, float]


def embed(
    pairs: Pairs, encoder: Encoder, findings: FindingSet, done: Callable[[], None] = lambda: None
) -> Embedded:
    """Embed every clip and impression; `done` is told after each."""
    studies, texts = [], []
    for place, count in enumerate(pairs.counts):
        studies.append(encoder.encode_clip(np.ascontiguousarray(pairs.frames[place, :count])))
        texts.append(encoder.encode_text(pairs.impressions[place]))
        done()
    prompts = {
        finding.id: np.stack([encoder.encode_text(prompt) for prompt in finding.prompts])
        for finding in findings.findings
    }
    scores = {id_: np.array([score(study, prompts[id_]) for study in studies]) for id_ in prompts}
    return Embedded(np.stack(studies), np.stack(texts), scores)


def evaluate(
    pairs: Pairs,
    embedded: Embedded,
    thresholds: Mapping[str, float],
    labels: tuple[str, ...] = (),
    groups: tuple[str, ...] = (),
) -> Evaluation:
    """Measure a bundle; `labels` are further columns for probes, `groups` columns to split by.

    A finding without a threshold is measured at the balanced one of these very pairs.
    """
    rng = np.random.default_rng(SEED)
    everybody = np.full(len(pairs), fill_value=True)
    columns = [*embedded.scores, *labels]
    points = embedded.studies.astype(np.float64)
    return Evaluation(
        zero_shot=_zero_shot(pairs, embedded, thresholds, everybody, rng),
        groups={
            f"{column}={value}": _zero_shot(pairs, embedded, thresholds, chosen, rng)
            for column in groups
            for value, chosen in _split(pairs, column)
        },
        few_shot={
            column: few_shot_auc(points, pairs.labels(column), rng)
            for column in columns
            if _both_kinds(pairs.labels(column))
        },
        probes=_probes(pairs, points, columns, rng),
        retrieval=retrieval(embedded.texts.astype(np.float64), points),
    )


def calibrate(bundle: Bundle, findings: FindingSet, embedded: Embedded, pairs: Pairs) -> Bundle:
    """Write the bundle's calibration.json from labelled pairs and vouch for it in the manifest.

    Returns the bundle with it. A finding without both kinds of labels stays uncalibrated.
    """
    thresholds = {
        finding.id: Threshold(
            threshold=balanced_threshold(embedded.scores[finding.id], pairs.labels(finding.id)),
            specific=specific_threshold(embedded.scores[finding.id], pairs.labels(finding.id)),
            prompts=finding.prompts,
        )
        for finding in findings.findings
        if _both_kinds(pairs.labels(finding.id))
    }
    calibration = Calibration(
        method=f"sensitivity = specificity on {len(pairs)} labelled studies", findings=thresholds
    )
    path = bundle.path / CALIBRATION
    path.write_text(calibration.model_dump_json(indent=2) + "\n", encoding="utf-8")
    files = {**bundle.manifest.files, CALIBRATION: sha256_of(path)}
    manifest = bundle.manifest.model_copy(update={"files": files})
    write_manifest(bundle.path, manifest)
    return Bundle(bundle.path, manifest, sha256_of(bundle.path / MANIFEST), calibration)


def write_report(evaluation: Evaluation, title: str, folder: Path) -> None:
    """Write report.md for people and figures.json for programs into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n".join([f"# {title}", "", *_sections(evaluation)])
    (folder / REPORT).write_text(text + "\n", encoding="utf-8")
    figures = json.dumps(asdict(evaluation), indent=1)
    (folder / FIGURES).write_text(figures + "\n", encoding="utf-8")


def _zero_shot(
    pairs: Pairs,
    embedded: Embedded,
    thresholds: Mapping[str, float],
    chosen: NDArray[np.bool_],
    rng: np.random.Generator,
) -> dict[str, Measured]:
    found = {}
    for id_, scores in embedded.scores.items():
        labels = pairs.labels(id_)
        if not _both_kinds(labels[chosen]):
            continue
        threshold = thresholds.get(id_, balanced_threshold(scores, labels))
        if each := measured(scores[chosen], labels[chosen], threshold, rng):
            found[id_] = each
    return found


def _split(pairs: Pairs, column: str) -> list[tuple[str, NDArray[np.bool_]]]:
    values = np.array([row.get(column, "") for row in pairs.rows])
    return [(str(value), values == value) for value in np.unique(values) if value]


def _both_kinds(labels: Floats) -> bool:
    return {0.0, 1.0} <= set(labels[~np.isnan(labels)])


def _probes(
    pairs: Pairs, points: Floats, columns: list[str], rng: np.random.Generator
) -> dict[str, Measured]:
    """Predict each label from the embedding by logistic regression, never from its own fold."""
    found = {}
    for column in columns:
        labels = pairs.labels(column)
        known = ~np.isnan(labels)
        if min(np.sum(labels[known] == kind) for kind in (0, 1)) < FOLDS:
            continue
        predicted = np.full(len(labels), np.nan)
        predicted[known] = cross_val_predict(
            LogisticRegression(C=10, max_iter=2000),
            points[known],
            labels[known],
            cv=StratifiedKFold(FOLDS, shuffle=True, random_state=0),
            method="predict_proba",
        )[:, 1]
        if each := measured(predicted, labels, 0.5, rng):
            found[column] = each
    return found


def _sections(evaluation: Evaluation) -> list[str]:
    lines = ["## Zero-shot", "", *_table(evaluation.zero_shot)]
    for group, found in evaluation.groups.items():
        lines += ["", f"### {group}", "", *_table(found)]
    lines += [
        "",
        "## Logistic regression on the embedding, 5 folds",
        "",
        *_table(evaluation.probes),
    ]
    lines += ["", "## Few-shot (SimpleShot, mean AUC of 100 episodes)", ""]
    shots = sorted({each for curve in evaluation.few_shot.values() for each in curve})
    lines += _rows("label", [str(each) for each in shots])
    for label, curve in evaluation.few_shot.items():
        lines.append(_row(label, [f"{curve[at]:.3f}" if at in curve else "" for at in shots]))
    lines += ["", "## Impressions find their studies", ""]
    lines += _rows("", [*evaluation.retrieval])
    lines.append(_row("", [f"{value:.3f}" for value in evaluation.retrieval.values()]))
    return lines


def _table(found: Mapping[str, Measured]) -> list[str]:
    lines = _rows("", ["studies", "positive", "AUC (95 % interval)", "accuracy", "F1", "threshold"])
    for label, each in found.items():
        interval = f"{each.auc:.3f} ({each.auc_low:.3f} to {each.auc_high:.3f})"
        figures = [f"{figure:.3f}" for figure in (each.accuracy, each.f1, each.threshold)]
        lines.append(_row(label, [str(each.studies), str(each.positives), interval, *figures]))
    return lines


def _rows(first: str, headings: list[str]) -> list[str]:
    return [_row(first, headings), _row("---", ["---:"] * len(headings))]


def _row(first: str, cells: list[str]) -> str:
    return f"| {' | '.join([first, *cells])} |"
