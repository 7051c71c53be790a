"""The embedding that a search compares cases with: from a text, from a case, or from both."""

import numpy as np

from triage.domain.errors import CaseNotFound, InvalidQuery
from triage.ports.encoder import Embedding, Encoder
from triage.ports.library import Library


def query_embedding(
    encoder: Encoder, library: Library, words: str | None, like: str | None
) -> Embedding:
    """Return the unit vector (D,) of `words`, of the case `like`, or midway between both.

    Raises:
        InvalidQuery: There is neither.
        CaseNotFound: The library is empty, or has no case `like`.
    """
    if library.count_cases() == 0:
        raise CaseNotFound("no study has been assessed with this bundle, so there are no cases yet")
    parts = []
    if words:
        parts.append(encoder.encode_text(words))
    if like:
        known = library.get_embedding(like)
        if known is None:
            raise CaseNotFound(f"this bundle has no case of study {like}")
        parts.append(known)
    if not parts:
        raise InvalidQuery("enter what to search for: words, like STUDY_UID, or both")
    asked = np.sum([part / np.linalg.norm(part) for part in parts], axis=0)
    return np.asarray(asked / np.linalg.norm(asked), np.float32)
