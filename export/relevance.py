"""Measures on labelled pairs whether key frames point to the views that show the finding.

A case is a flagged finding that is present. It is a hit if the most relevant view is one that the
findings file names for the finding. Chance is the share of such views among the views of the study.
The advantage is the mean of hit minus chance by study, with its bootstrap interval over studies.
Uses the bundle's graph and the worker's own occlusion, as `export.evaluate` does.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from export.pairs import Pairs
from triage.domain.errors import ConfigurationError
from triage.domain.finding import Finding, FindingSet
from triage.model.bundle import Bundle, ClipForm
from triage.model.prompts import embed_prompts
from triage.model.questions import ScoreFunction, build_questions
from triage.model.relevance import FrameSources, OccludedClip, occlude, view_relevances
from triage.model.roc import INTERVAL, RESAMPLINGS
from triage.ports.encoder import Encoder, Frames

SEED = 0  #: of the bootstrap
ALL = "all"


@dataclass(frozen=True)
class PointingRate:
    """The share of cases whose most relevant view shows the finding."""

    cases: int  #: flagged and present
    hits: float
    chance: float
    low: float  #: of hits less chance: 2.5th percentile over resamplings of the studies
    high: float  #: 97.5th percentile


@dataclass(frozen=True)
class PointingResult:
    """The pointing rates of all findings, and the time per study."""

    findings: Mapping[str, PointingRate]  #: by finding, and of `ALL` together
    studies: int  #: with at least one case
    seconds: float  #: of a study's occlusions, the median


class FlaggedCase(NamedTuple):
    """A flagged finding that is present in the study."""

    study: int
    hit: bool
    chance: float


def measure_pointing(
    pairs: Pairs,
    bundle: Bundle,
    encoder: Encoder,
    findings: FindingSet,
    done: Callable[[], None] = lambda: None,
) -> PointingResult:
    """Measure pointing on the true positives of `pairs`; `done` is called after each study.

    Raises:
        ConfigurationError: No finding has a threshold, or the views of the frames are unknown.
    """
    if bundle.calibration is None:
        raise ConfigurationError(f"{bundle.path} has no calibration.json, so nothing is flagged")
    slots = view_of_each_frame(pairs.form)
    prompts = embed_prompts(findings, bundle, encoder, None)
    asked = build_questions(findings, bundle, prompts, {}).values()
    cases: dict[str, list[FlaggedCase]] = defaultdict(list)
    durations = []
    for study, row in enumerate(pairs.rows):
        clip = np.ascontiguousarray(pairs.clip(study)[: pairs.counts[study]])
        whole = encoder.encode_clip(clip)
        flagged = [
            (finding, question.scores)
            for finding, question in zip(findings.findings, asked, strict=True)
            if row.get(finding.id) == "1" and question.scores and question.threshold is not None
            if question.scores(whole[None])[0] > question.threshold
        ]
        if flagged:
            began = time.perf_counter()
            occluded = occlude(clip, sources(clip, slots), whole, encoder, "black")
            durations.append(time.perf_counter() - began)
            for finding, scores in flagged:
                cases[finding.id].append(_case(study, finding, occluded, scores))
        done()
    groups = {**cases, ALL: [case for found in cases.values() for case in found]}
    return PointingResult(
        {name: summary(found) for name, found in groups.items() if found},
        studies=len(durations),
        seconds=float(np.median(durations)) if durations else 0.0,
    )


def view_of_each_frame(form: ClipForm) -> tuple[str, ...]:
    """Return the slot of each frame; raise ConfigurationError if it depends on the study."""
    lengths = [(slot.view, slot.length) for slot in form.layout]
    if form.preprocessing.missing != "black" or sum(n or 0 for _, n in lengths) > form.frames:
        raise ConfigurationError(
            "the views of these frames are unknown: use a clip with slots of stated length that"
            " are black if a view is missing, as export/clips/demo.yaml"
        )
    return tuple(view for view, length in lengths for _ in range(length or 0))


def sources(clip: Frames, slots: Sequence[str]) -> FrameSources:
    """Return the view and the image of each frame of a clip (F, H, W); black ones have none."""
    shown = {view for view, frame in zip(slots, clip, strict=True) if frame.any()}
    return [(view, place) if view in shown else None for place, view in enumerate(slots)]


def summary(cases: Sequence[FlaggedCase]) -> PointingRate:
    """Summarise cases; the bootstrap draws the cases of one study together."""
    hits, chance = np.mean([(case.hit, case.chance) for case in cases], axis=0)
    by_study: dict[int, list[float]] = defaultdict(list)
    for case in cases:
        by_study[case.study].append(case.hit - case.chance)
    more = np.array([(sum(found), len(found)) for found in by_study.values()])  # (studies, 2)
    rng = np.random.default_rng(SEED)
    drawn = more[rng.integers(0, len(more), (RESAMPLINGS, len(more)))].sum(axis=1)
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], INTERVAL)
    return PointingRate(len(cases), float(hits), float(chance), float(low), float(high))


def table(pointed: PointingResult) -> Iterator[str]:
    """Yield the result as lines of a Markdown table."""
    yield "| finding | true positives | hits | chance | hits less chance (95 %) |"
    yield "| --- | ---: | ---: | ---: | --- |"
    for name, each in pointed.findings.items():
        more = f"{each.hits - each.chance:+.3f} ({each.low:+.3f} to {each.high:+.3f})"
        yield f"| {name} | {each.cases} | {each.hits:.3f} | {each.chance:.3f} | {more} |"


def _case(
    study: int, finding: Finding, occluded: OccludedClip, scores: ScoreFunction
) -> FlaggedCase:
    worth = view_relevances(occluded, scores)
    foremost = max(worth, key=worth.__getitem__)
    return FlaggedCase(
        study, foremost in finding.views, float(np.isin([*worth], finding.views).mean())
    )
