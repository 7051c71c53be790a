"""What is asked of the library."""

import numpy as np
import pytest

from tests.fakes import FakeEncoder, FakeLibrary
from triage.cases.query_embedding import query_embedding
from triage.domain.case import Case
from triage.domain.errors import CaseNotFound, InvalidQuery, TriageError

NORTH, EAST = np.eye(FakeEncoder.size, dtype=np.float32)[:2]
WORD = "a"  #: one letter long, so the fake's embedding is EAST


@pytest.fixture
def library() -> FakeLibrary:
    made = FakeLibrary()
    made.add(Case("1.2", "p"), NORTH)
    return made


@pytest.mark.parametrize(
    ("words", "like", "expected"),
    [(WORD, None, EAST), (None, "1.2", NORTH), (WORD, "1.2", (NORTH + EAST) / np.sqrt(2))],
)
def test_words_a_case_or_the_middle_of_both(
    library: FakeLibrary, words: str | None, like: str | None, expected: np.ndarray
) -> None:
    assert query_embedding(FakeEncoder(), library, words, like) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("like", "kind", "said"),
    [(None, InvalidQuery, "say what to search"), ("9.9", CaseNotFound, "no case of study")],
)
def test_a_question_that_asks_nothing_says_so(
    library: FakeLibrary, like: str | None, kind: type[TriageError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        query_embedding(FakeEncoder(), library, None, like)


def test_an_empty_library_says_so() -> None:
    with pytest.raises(CaseNotFound, match="there is no case"):
        query_embedding(FakeEncoder(), FakeLibrary(), WORD, None)
