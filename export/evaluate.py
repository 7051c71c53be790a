"""Evaluates and calibrates a bundle on labelled pairs; makes the published tables.

Everything is measured with the bundle's ONNX graphs and the worker's own scoring, never with the
torch network, so the reported figures are those of the running worker. Labels serve to measure and
to calibrate; training does not use them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from export.metrics import (
    Reliability,
    ScoreMetrics,
    balanced_threshold,
    few_shot_auc,
    has_enough_labels,
    measure,
    predict_held_out,
    reliability,
    retrieval,
    roc,
    separates,
)
from export.pairs import Pairs
from export.predictive import (
    DEFAULT_RULES,
    CalibrationRules,
    measure_threshold,
    state_rules,
)
from triage.domain.errors import ConfigurationError
from triage.domain.finding import FindingSet
from triage.domain.performance import Performance, Rate
from triage.model.bundle import (
    CALIBRATION,
    Bundle,
    Calibration,
    Threshold,
    hash_file,
    open_bundle,
    write_calibration,
    write_manifest,
)
from triage.model.prompts import mean_cosines
from triage.model.roc import Floats
from triage.ports.encoder import Encoder

SEED = 0  #: of bootstrap and episodes: the same pairs give the same figures
#: Heads that are trained on embeddings, as the publication did for diagnoses.
HEADS: Mapping[str, Callable[[], BaseEstimator]] = {
    "logistic": lambda: LogisticRegression(C=10, max_iter=2000),
    "MLP": lambda: MLPClassifier((64,), solver="lbfgs", alpha=1, max_iter=5000, random_state=0),
}


@dataclass(frozen=True)
class EmbeddedPairs:
    """The embeddings and scores of pairs by one bundle."""

    studies: NDArray[np.float32]  #: (N, D), unit
    texts: NDArray[np.float32]  #: (N, D), unit: the impressions
    scores: Mapping[str, Floats]  #: finding id -> (N,)


@dataclass(frozen=True)
class Evaluation:
    """All figures of a report, by label; a label is a finding or a further column."""

    zero_shot: Mapping[str, ScoreMetrics]
    roc: Mapping[str, tuple[float, ...]]  #: finding -> sensitivity on `metrics.GRID`
    reliability: Mapping[str, Reliability]
    groups: Mapping[str, Mapping[str, ScoreMetrics]]  #: "vendor=GE" -> finding -> ...
    few_shot: Mapping[str, Mapping[int, float]]  #: label -> shots -> AUC
    probes: Mapping[str, Mapping[str, ScoreMetrics]]  #: head -> label -> ..., 5 folds
    retrieval: Mapping[str, Mapping[str, float]]  #: direction -> rank measures
    paraphrased: Mapping[str, ScoreMetrics] = field(default_factory=dict)  #: with other prompts
    #: the same heads on the embedding of another bundle, e.g. an untrained one
    beside: Mapping[str, Mapping[str, ScoreMetrics]] = field(default_factory=dict)


def embed(
    pairs: Pairs, encoder: Encoder, findings: FindingSet, done: Callable[[], None] = lambda: None
) -> EmbeddedPairs:
    """Embed every clip and impression; `done` is called after each."""
    studies, texts = [], []
    for place, count in enumerate(pairs.counts):
        studies.append(encoder.encode_clip(np.ascontiguousarray(pairs.clip(place)[:count])))
        texts.append(encoder.encode_text(pairs.impressions[place]))
        done()
    embedded = np.stack(studies)
    return EmbeddedPairs(embedded, np.stack(texts), score_studies(embedded, findings, encoder))


def list_thresholds(bundle: Bundle, views: str = "") -> dict[str, float]:
    """Return the calibrated threshold of each finding.

    With `views` (`ClipForm.name_views`) those for studies that show exactly these views, if the
    bundle has thresholds by views.
    """
    calibration = bundle.calibration
    if calibration is None:
        return {}
    by_views = views and calibration.by_views
    known = calibration.by_views.get(views, {}) if by_views else calibration.findings
    return {id_: threshold.threshold for id_, threshold in known.items()}


def evaluate(
    pairs: Pairs,
    embedded: EmbeddedPairs,
    thresholds: Mapping[str, float],
    labels: tuple[str, ...] = (),
    groups: tuple[str, ...] = (),
) -> Evaluation:
    """Measure a bundle; `labels` are further columns for probes, `groups` columns to split by.

    A finding without a threshold is measured at the balanced one of these very pairs.
    """
    rng = np.random.default_rng(SEED)
    every_pair = np.full(len(pairs), fill_value=True)
    columns = [*embedded.scores, *labels]
    points, texts = embedded.studies.astype(np.float64), embedded.texts.astype(np.float64)
    zero_shot = _zero_shot(pairs, embedded, thresholds, every_pair, rng)
    curves = {id_: reliability(embedded.scores[id_], pairs.labels(id_)) for id_ in zero_shot}
    return Evaluation(
        zero_shot=zero_shot,
        roc={id_: roc(embedded.scores[id_], pairs.labels(id_)) for id_ in zero_shot},
        reliability={id_: curve for id_, curve in curves.items() if curve is not None},
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
        probes=probes(pairs, embedded, columns),
        retrieval={
            "impression to study": retrieval(texts, points),
            "study to impression": retrieval(points, texts),
        },
    )


def evaluate_paraphrases(
    pairs: Pairs, embedded: EmbeddedPairs, encoder: Encoder, findings: FindingSet
) -> dict[str, ScoreMetrics]:
    """Measure the findings with paraphrased prompts, at the balanced threshold of these pairs."""
    scores = score_studies(embedded.studies, findings, encoder)
    asked = EmbeddedPairs(embedded.studies, embedded.texts, scores)
    every_pair = np.full(len(pairs), fill_value=True)
    return _zero_shot(pairs, asked, {}, every_pair, np.random.default_rng(SEED))


def probes(
    pairs: Pairs, embedded: EmbeddedPairs, columns: Sequence[str]
) -> dict[str, dict[str, ScoreMetrics]]:
    """Predict each label from the embedding, by each kind of head, never from its own fold."""
    rng = np.random.default_rng(SEED)
    points = embedded.studies.astype(np.float64)
    found: dict[str, dict[str, ScoreMetrics]] = {head: {} for head in HEADS}
    for column in columns:
        labels = pairs.labels(column)
        if not has_enough_labels(labels):
            continue
        known = ~np.isnan(labels)
        for head, made in HEADS.items():
            chance = np.full(len(labels), np.nan)
            chance[known] = predict_held_out(made(), points[known], labels[known] > 0)
            if metrics := measure(chance, labels, 0.5, rng):
                found[head][column] = metrics
    return found


def calibrate(
    bundle: Bundle,
    findings: FindingSet,
    embedded: EmbeddedPairs,
    pairs: Pairs,
    rules: CalibrationRules = DEFAULT_RULES,
) -> Bundle:
    """Write the bundle's calibration.json from labelled pairs and vouch for it in the manifest.

    Returns the bundle with it. A finding without both kinds of labels stays uncalibrated, and so
    does one whose AUC is below `rules.least_auc`: a threshold on chance would flag, and the worker
    reports a finding without threshold as Not Evaluated. The out-of-distribution limit stays
    unchanged (export.ood_calibration).

    Predictive values are written as options; `rules` names the findings for which one is used.
    Raises ConfigurationError if such a finding has none.
    """
    thresholds = {
        finding.id: measure_threshold(
            embedded.scores[finding.id], pairs.labels(finding.id), finding.prompts, rules.prevalence
        )
        for finding in findings.findings
        if separates(embedded.scores[finding.id], pairs.labels(finding.id), rules.least_auc)
    }
    thresholds = state_rules(thresholds, rules)
    calibration = Calibration(
        method=f"sensitivity = specificity on {len(pairs)} labelled studies, of findings that are"
        f" told with an AUC of at least {rules.least_auc:g}",
        findings=thresholds,
        familiarity=bundle.calibration.familiarity if bundle.calibration else None,
    )
    return update_calibration(bundle, calibration)


def record_evaluation(bundle: Bundle, name: str, evaluation: Evaluation) -> Bundle:
    """Write the zero-shot AUCs into the bundle's manifest; return the bundle with them."""
    auc = {id_: round(metrics.auc, 4) for id_, metrics in evaluation.zero_shot.items()}
    return _update_manifest(bundle, evaluation={**bundle.manifest.evaluation, name: auc})


def state_performance(bundle: Bundle, measured_on: str, evaluation: Evaluation) -> Bundle:
    """Write what each threshold achieved on the evaluated pairs into the bundle's calibration.

    Returns the bundle with it; reports show these figures beside a flag, with `measured_on` for the
    pairs. A finding that was not measured gets none, and a new calibration removes them all. A
    calibration of an earlier release also gets the spread of scores, which it lacks.

    Raises:
        ConfigurationError: The bundle has no calibration, or another threshold was measured.
    """
    if bundle.calibration is None:
        raise ConfigurationError(f"{bundle.path} has no calibration.json, so nothing is flagged")
    thresholds = {
        id_: state_threshold(known, id_, evaluation.zero_shot.get(id_), measured_on)
        for id_, known in bundle.calibration.findings.items()
    }
    return update_calibration(
        bundle, bundle.calibration.model_copy(update={"findings": thresholds})
    )


def state_threshold(
    known: Threshold, finding: str, metrics: ScoreMetrics | None, measured_on: str
) -> Threshold:
    """Return a threshold with its performance; raise ConfigurationError for another threshold's."""
    if metrics is None:
        return known.model_copy(update={"performance": None})
    if metrics.threshold != known.threshold:
        raise ConfigurationError(f"{finding} was measured at another threshold than the bundle's")
    performance = Performance(
        auc=_shorten(_auc_rate(metrics)),
        sensitivity=_shorten(metrics.sensitivity),
        specificity=_shorten(metrics.specificity),
        studies=metrics.studies,
        positives=metrics.positives,
        measured_on=measured_on,
    )
    spread = metrics.spread if known.spread is None else known.spread
    return known.model_copy(update={"performance": performance, "spread": spread})


def _auc_rate(metrics: ScoreMetrics) -> Rate:
    """Return the AUC with its interval; few resamplings may all lie on one side of it."""
    low, high = min(metrics.auc_low, metrics.auc), max(metrics.auc_high, metrics.auc)
    return Rate(metrics.auc, low, high)


def _shorten(rate: Rate) -> Rate:
    """Return a rate in the precision of the manifest's AUCs."""
    return Rate(*(round(value, 4) for value in (rate.value, rate.low, rate.high)))


def update_calibration(bundle: Bundle, calibration: Calibration) -> Bundle:
    """Write a calibration into a bundle and vouch for it in the manifest; return the bundle."""
    write_calibration(bundle.path, calibration)
    digest = hash_file(bundle.path / CALIBRATION)
    return _update_manifest(bundle, files={**bundle.manifest.files, CALIBRATION: digest})


def _update_manifest(bundle: Bundle, **changes: object) -> Bundle:
    write_manifest(bundle.path, bundle.manifest.model_copy(update=changes))
    return open_bundle(bundle.path)


def score_studies(
    studies: NDArray[np.float32], findings: FindingSet, encoder: Encoder
) -> dict[str, Floats]:
    """Return the score of every finding (N,) for embedded studies (N, D)."""
    prompts = {
        finding.id: np.stack([encoder.encode_text(prompt) for prompt in finding.prompts])
        for finding in findings.findings
    }
    return {id_: mean_cosines(texts, studies) for id_, texts in prompts.items()}


def _zero_shot(
    pairs: Pairs,
    embedded: EmbeddedPairs,
    thresholds: Mapping[str, float],
    chosen: NDArray[np.bool_],
    rng: np.random.Generator,
) -> dict[str, ScoreMetrics]:
    found = {}
    for id_, scores in embedded.scores.items():
        labels = pairs.labels(id_)
        if not _both_kinds(labels[chosen]):
            continue
        threshold = thresholds.get(id_, balanced_threshold(scores, labels))
        if metrics := measure(scores[chosen], labels[chosen], threshold, rng):
            found[id_] = metrics
    return found


def _split(pairs: Pairs, column: str) -> list[tuple[str, NDArray[np.bool_]]]:
    values = np.array([row.get(column, "") for row in pairs.rows])
    return [(str(value), values == value) for value in np.unique(values) if value]


def _both_kinds(labels: Floats) -> bool:
    return {0.0, 1.0} <= set(labels[~np.isnan(labels)])
