"""What of an impression a training step reads, and the words that a new model knows.

Rule: a prompt is one sentence, an impression several. So training now and then takes some sentences
for the whole, as ConVIRT did (Zhang et al. 2020, arXiv 2010.00747), or a prompt would be a kind of
text that the model never met. Only words of many reports become pieces of a vocabulary: a name must
not travel with a model.
"""

import re
from collections import Counter
from collections.abc import Sequence

from numpy.random import Generator

from export.tokenizer import Vocabulary
from export.untrained import report_vocabulary

#: A line's end, or a full stop before a capital; "2.5 mm" and "c/w HCM" hold none.
BETWEEN = re.compile(r"\s*\n+\s*|(?<=[^\d\s][.;])\s+(?=[A-Z\d-])")
#: What lists put before a sentence.
BULLET = re.compile(r"^(\d+[.)]|[-*•])\s+")
WORD = re.compile(r"[^\W\d_]+")
AT_MOST = 3  #: sentences that stand for the whole
COMMON = 10  #: impressions that a word stands in before it becomes a piece


def sentences(impression: str) -> list[str]:
    """Return the sentences of an impression without bullets and closing full stops."""
    parts = (BULLET.sub("", part.strip()).rstrip(".; ") for part in BETWEEN.split(impression))
    return [part for part in parts if part]


def caption(impression: str, share: float, rng: Generator) -> str:
    """Return the impression, or with a chance of `share` up to three of its sentences."""
    if rng.random() >= share:
        return impression
    said = sentences(impression)
    count = min(len(said), int(rng.integers(1, AT_MOST + 1)))
    return ". ".join(said[place] for place in rng.permutation(len(said))[:count]) or impression


def vocabulary_of(impressions: Sequence[str], *, lower_case: bool) -> Vocabulary:
    """Return the words of cardiac reports and every letter, and with them what these ones use."""
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
