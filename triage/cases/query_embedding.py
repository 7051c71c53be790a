"""What is asked of the library, as an embedding: words, a case, or both."""

import numpy as np

from triage.domain.errors import CaseNotFound, InvalidQuery
from triage.ports.encoder import Embedding, Encoder
from triage.ports.library import Library


def query_embedding(
    encoder: Encoder, library: Library, words: str | None, like: str | None
) -> Embedding:
    """Return the direction (D,) of words, of the case `like`, or in the middle of both.

    Raises InvalidQuery where there is neither, CaseNotFound where there is no such case, or none.
    """
    if library.count_cases() == 0:
        raise CaseNotFound("no study has been assessed with this bundle, so there is no case")
    parts = []
    if words:
        parts.append(encoder.encode_text(words))
    if like:
        known = library.get_embedding(like)
        if known is None:
            raise CaseNotFound(f"no case of study {like} is known to this bundle")
        parts.append(known)
    if not parts:
        raise InvalidQuery("say what to search for: words, like STUDY_UID, or both")
    asked = np.sum([part / np.linalg.norm(part) for part in parts], axis=0)
    return np.asarray(asked / np.linalg.norm(asked), np.float32)
