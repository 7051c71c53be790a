"""The rules on the impressions of drawn hearts, compared with the truth of the hearts.

The readers of the EXTERNAL styles have phrases of their own, which no training reader uses.
"""

from collections import Counter

import pytest

from tests.unit.findings.extraction.marked_sentences import read_outcomes
from triage.domain.outcome import OutcomeStatus
from triage.phantom.heart import derive_truth, draw_heart
from triage.phantom.impression import compose_impression
from triage.phantom.readers import EXTERNAL, TRAINING, ReaderStyle

HEARTS = 500
FIRST = 40_000  #: seed


@pytest.mark.parametrize("styles", [EXTERNAL, TRAINING], ids=["external", "training"])
def test_findings_of_drawn_hearts_are_read(styles: tuple[ReaderStyle, ...]) -> None:
    counts: Counter[tuple[bool, OutcomeStatus | None]] = Counter()
    for number in range(HEARTS):
        heart = draw_heart(FIRST + number)
        style = styles[number % len(styles)]
        impression = compose_impression(heart, heart.seed, style)
        read = read_outcomes(impression)
        for finding, truth in derive_truth(heart).findings.items():
            counts[truth, read.get(finding)] += 1
            if truth and read.get(finding) is not OutcomeStatus.PRESENT:
                print(style, finding, repr(impression))
    present = OutcomeStatus.PRESENT
    positives = sum(count for (truth, _), count in counts.items() if truth)
    precision = counts[True, present] / (counts[True, present] + counts[False, present])
    recall = counts[True, present] / positives
    print(f"{HEARTS} impressions: precision {precision:.3f}, recall {recall:.3f}", counts)
    assert precision >= 0.97
    assert recall >= 0.97
    assert counts[True, OutcomeStatus.ABSENT] <= 0.03 * positives
