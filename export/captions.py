"""Captions for training steps, and the vocabulary of a new model.

A prompt is one sentence and an impression has several. Therefore training sometimes uses some
sentences in place of the whole impression, as ConVIRT did (Zhang et al. 2020, arXiv 2010.00747);
otherwise the model would never see a text as short as a prompt. Only tokens that many reports use
enter the vocabulary, so that a model never contains a patient's name.
"""

import re
from collections import Counter
from collections.abc import Sequence

from numpy.random import Generator

from export.tokenizer import Vocabulary
from export.untrained import report_vocabulary

#: A line's end, or a full stop before a capital; "2.5 mm" and "c/w HCM" hold none.
BETWEEN = re.compile(r"\s*\n+\s*|(?<=[^\d\s][.;])\s+(?=[A-Z\d-])")
#: The bullet or number before a sentence of a list.
BULLET = re.compile(r"^(\d+[.)]|[-*•])\s+")
WORD = re.compile(r"[^\W\d_]+")
AT_MOST = 3  #: sentences in place of the whole impression
COMMON = 10  #: impressions that must contain a token before it enters the vocabulary


def sentences(impression: str) -> list[str]:
    """Return the sentences of an impression without bullets and closing full stops."""
    parts = (BULLET.sub("", part.strip()).rstrip(".; ") for part in BETWEEN.split(impression))
    return [part for part in parts if part]


def caption(impression: str, share: float, rng: Generator) -> str:
    """Return the impression, or with a chance of `share` up to three of its sentences."""
    if rng.random() >= share:
        return impression
    parts = sentences(impression)
    count = min(len(parts), int(rng.integers(1, AT_MOST + 1)))
    return ". ".join(parts[i] for i in rng.permutation(len(parts))[:count]) or impression


def vocabulary_of(impressions: Sequence[str], *, lower_case: bool) -> Vocabulary:
    """Return the vocabulary: cardiac terms, every letter, and common terms of the impressions."""
    seen = Counter(
        word
        for text in impressions
        for word in {*WORD.findall(text.lower() if lower_case else text)}
    )
    common = sorted(word for word, count in seen.items() if count >= COMMON)
    known = [*report_vocabulary()]
    special = [piece for piece in known if piece.startswith("[") and len(piece) > 1]
    plain = [piece.lower() if lower_case else piece for piece in known if piece not in special]
    return {piece: row for row, piece in enumerate(dict.fromkeys([*special, *plain, *common]))}
