"""The embedding that a search compares cases with."""

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
    filled = FakeLibrary()
    filled.add(Case("1.2", "p"), NORTH)
    return filled


@pytest.mark.parametrize(
    ("words", "like", "expected"),
    [(WORD, None, EAST), (None, "1.2", NORTH), (WORD, "1.2", (NORTH + EAST) / np.sqrt(2))],
)
def test_embedding_of_a_text_of_a_case_or_midway_between(
    library: FakeLibrary, words: str | None, like: str | None, expected: np.ndarray
) -> None:
    assert query_embedding(FakeEncoder(), library, words, like) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("like", "kind", "message"),
    [(None, InvalidQuery, "enter what to search"), ("9.9", CaseNotFound, "no case of study")],
)
def test_an_empty_query_or_an_unknown_case_is_an_error(
    library: FakeLibrary, like: str | None, kind: type[TriageError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        query_embedding(FakeEncoder(), library, None, like)


def test_an_empty_library_is_an_error() -> None:
    with pytest.raises(CaseNotFound, match="there are no cases yet"):
        query_embedding(FakeEncoder(), FakeLibrary(), WORD, None)
