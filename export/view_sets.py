"""Clips of which only some views are shown, to calibrate and measure a bundle for each such set.

A score from one view has another distribution than one from six: a threshold of whole studies would
flag nearly every study that lacks the views of a finding, or none. For a clip whose views have
frames of a stated number, black if a view is missing, a study with fewer views is a clip with more
black frames. So labelled studies with all views show how well each set of views tells a finding.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, combinations

import numpy as np
from numpy.typing import NDArray

from export.evaluate import SEED, score_studies, state_threshold, update_calibration
from export.metrics import measure, separates
from export.pairs import Pairs, slot_lengths
from export.predictive import CalibrationRules, measure_threshold, state_possible_rules
from triage.domain.errors import ConfigurationError
from triage.domain.finding import FindingSet
from triage.model.bundle import Bundle, ClipForm, Threshold
from triage.model.roc import Floats
from triage.ports.encoder import Encoder
from triage.reports.views import spell_out_views

FEWEST = 50  #: studies that show a set of views, below which nothing is calibrated for it


@dataclass(frozen=True)
class ViewSetStudies:
    """Labelled pairs that are scored once for each set of views."""

    pairs: Pairs
    findings: FindingSet
    encoder: Encoder
    done: Callable[[], None] = lambda: None  #: called after each set

    def score(self) -> Iterator[tuple[str, Pairs, Mapping[str, Floats]]]:
        """Yield each set of views, the pairs that show it, and their scores by finding (N,)."""
        for views, shown in split_view_sets(self.pairs):
            studies = self.encoder.encode_clips(list(shown.frames))
            yield views, shown, score_studies(studies, self.findings, self.encoder)
            self.done()


def calibrate_view_sets(bundle: Bundle, studies: ViewSetStudies, rules: CalibrationRules) -> Bundle:
    """Set the thresholds for each set of views from labelled pairs; return the bundle with them.

    A finding gets no threshold for views that include none of its own, or that separate it with an
    AUC below `rules.least_auc`. The bundle stays unchanged if its clips cannot show sets of views.
    """
    if bundle.calibration is None:
        raise ConfigurationError(f"{bundle.path} has no calibration.json: calibrate it first")
    by_views = {
        views: state_possible_rules(_measure_set(views, shown, scores, studies, rules), rules)
        for views, shown, scores in studies.score()
    }
    return update_calibration(bundle, bundle.calibration.model_copy(update={"by_views": by_views}))


def _measure_set(
    views: str,
    shown: Pairs,
    scores: Mapping[str, Floats],
    studies: ViewSetStudies,
    rules: CalibrationRules,
) -> dict[str, Threshold]:
    """Return the threshold of each finding that pairs showing only `views` separate."""
    return {
        finding.id: measure_threshold(
            scores[finding.id], shown.labels(finding.id), finding.prompts, rules.prevalence
        )
        for finding in studies.findings.findings
        if {*finding.views} & {*views.split("+")}
        and separates(scores[finding.id], shown.labels(finding.id), rules.least_auc)
    }


def state_view_sets(bundle: Bundle, measured_on: str, studies: ViewSetStudies) -> Bundle:
    """Write what the threshold of each set of views achieves on pairs that did not set it."""
    calibration = bundle.calibration
    if calibration is None or not calibration.by_views:
        return bundle
    by_views = dict(calibration.by_views)
    for views, shown, scores in studies.score():
        words = f"{measured_on}, {_describe_views(views, bundle.manifest.clip)}"
        by_views[views] = {
            id_: _measure_threshold(known, id_, scores, shown, words)
            for id_, known in by_views.get(views, {}).items()
        }
    return update_calibration(bundle, calibration.model_copy(update={"by_views": by_views}))


def _describe_views(views: str, form: ClipForm) -> str:
    """Return a set of views in words, for radiologists who read the figures."""
    if views == form.name_views([slot.view for slot in form.layout]):
        return "with all views"
    return f"from {spell_out_views(views.replace('+', ', '))} alone"


def _measure_threshold(
    known: Threshold, finding: str, scores: Mapping[str, Floats], shown: Pairs, measured_on: str
) -> Threshold:
    """Return a threshold with what it achieves on pairs; without, if these cannot measure it."""
    rng = np.random.default_rng(SEED)
    labels = shown.labels(finding)
    metrics = measure(scores[finding], labels, known.threshold, rng) if finding in scores else None
    return state_threshold(known, finding, metrics, measured_on)


def view_sets(form: ClipForm) -> list[tuple[str, ...]]:
    """Return every set of views, in the order of the layout; empty if no clip can show them."""
    if not slot_lengths(form):
        return []
    views = [slot.view for slot in form.layout]
    sizes = range(1, len(views) + 1)
    return list(chain.from_iterable(combinations(views, size) for size in sizes))


def show_views(pairs: Pairs, views: tuple[str, ...]) -> Pairs:
    """Return the pairs that have all these views, with all other views black.

    Raises ConfigurationError for a view that is not in the layout, or a layout whose views have no
    stated number of frames.
    """
    known = [slot.view for slot in pairs.form.layout]
    if not slot_lengths(pairs.form) or not {*views} <= {*known}:
        raise ConfigurationError(
            f"{', '.join(views)} cannot be shown alone: name views of {', '.join(known)}, in pairs"
            " whose clip has a stated number of frames for each view, black if it is missing"
        )
    shown = pairs.subset(np.flatnonzero(_has_views(pairs, views)))
    frames = shown.clips(np.arange(len(shown)))
    frames[:, ~_is_frame_of(pairs.form, views)] = 0
    return replace(shown, frames=frames, places=None)


def split_view_sets(pairs: Pairs) -> Iterator[tuple[str, Pairs]]:
    """Yield the name of each set of views that enough pairs have, with those pairs."""
    for views in view_sets(pairs.form):
        shown = show_views(pairs, views)
        if len(shown) >= FEWEST:
            yield pairs.form.name_views(views), shown


def _has_views(pairs: Pairs, views: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return which pairs (N,) show all these views."""
    lengths = slot_lengths(pairs.form)
    ends = np.cumsum(lengths)
    places = {
        slot.view: slice(end - length, end)
        for slot, length, end in zip(pairs.form.layout, lengths, ends, strict=True)
    }
    clips = map(pairs.clip, range(len(pairs)))
    return np.array([all(clip[places[view]].any() for view in views) for clip in clips], np.bool_)


def _is_frame_of(form: ClipForm, views: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return which frames (F,) of a clip belong to these views."""
    shown = [slot.view in views for slot in form.layout]
    return np.repeat(shown, slot_lengths(form))
