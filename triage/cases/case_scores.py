"""The scores of a finding in past cases, from their stored embeddings: no image is read.

An embedding is stored in half precision, so a score differs from that of the worker by less than
0.001. Only cases that show a view of the finding have a score, as in the worker.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triage.domain.case import Case
from triage.model.bundle import ClipForm
from triage.model.prompts import mean_cosines
from triage.ports.encoder import Embedding
from triage.ports.library import Library


@dataclass(frozen=True)
class ScoredCase:
    """A past case with the score of one finding."""

    case: Case
    views: str  #: the set of views that it shows (`ClipForm.name_views`)
    score: float


def score_cases(
    library: Library, views: Collection[str], prompts: NDArray[np.float32], form: ClipForm
) -> list[ScoredCase]:
    """Return the scores of a finding in all cases that show one of its views.

    `prompts` (p, D) are the embeddings of its prompts.
    """
    known = list(_list_embedded(library, views))
    if not known:
        return []
    scores = mean_cosines(prompts, np.array([embedding for _, embedding in known], np.float32))
    return [
        ScoredCase(case, form.name_views(case.views), float(score))
        for (case, _), score in zip(known, scores, strict=True)
    ]


def choose_one_a_patient(scored: Sequence[ScoredCase]) -> list[ScoredCase]:
    """Return the latest case of each patient for each set of views."""
    ordered = sorted(scored, key=lambda each: (each.case.study_date, each.case.study_uid))
    return list({(each.views, each.case.patient): each for each in ordered}.values())


def group_by_views(scored: Sequence[ScoredCase]) -> dict[str, list[ScoredCase]]:
    """Return the cases by the set of views that they show, the most frequent set first."""
    groups: dict[str, list[ScoredCase]] = {}
    for each in scored:
        groups.setdefault(each.views, []).append(each)
    return dict(sorted(groups.items(), key=lambda group: -len(group[1])))


def _list_embedded(library: Library, views: Collection[str]) -> Iterator[tuple[Case, Embedding]]:
    for uid in list(library.list_study_uids()):
        case, embedding = library.get_case(uid), library.get_embedding(uid)
        if case is None or embedding is None or not embedding.any():  # being replaced right now
            continue
        if {*case.views} & {*views}:
            yield case, embedding
