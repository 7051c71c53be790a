"""How well a tokenizer fits the impressions of a site.

A text tower knows a term that is one piece of its vocabulary. It learned little about a term that
is split into pieces, and nothing about one that becomes `[UNK]`; so a site with another language or
other abbreviations gains less from an adaptation, which adds no piece.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from export.captions import COMMON
from export.tokenizer import UNKNOWN

LISTED = 20  #: terms at most in a report
UNKNOWN_MOST = 0.01  #: share of unknown pieces, above which the report warns
SPLIT_MOST = 0.25  #: share of terms that are split, above which the report warns


@dataclass(frozen=True)
class VocabularyFit:
    """Counts over all impressions."""

    impressions: int
    cut: int  #: impressions that are longer than the text tower reads
    terms: int  #: letters in a row, such as "ventricle"
    split: int  #: terms of more than one piece
    pieces: int
    unknown: int  #: pieces that are `[UNK]`
    #: the most frequent terms that are not one piece; only those of many impressions, so that no
    #: name of a patient is among them
    foreign: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Return whether few pieces are unknown and few terms are split."""
        few_unknown = self.unknown <= UNKNOWN_MOST * self.pieces
        return few_unknown and self.split <= SPLIT_MOST * self.terms


def measure_vocabulary(impressions: Sequence[str], tokenizer: Tokenizer) -> VocabularyFit:
    """Count the terms of impressions that a tokenizer splits or does not know."""
    terms: Counter[str] = Counter()
    texts_with: Counter[str] = Counter()
    pieces = unknown = cut = 0
    for text in impressions:
        found = _units(text, tokenizer)
        parts = [piece.value for unit in found for piece in tokenizer.model.tokenize(unit)]
        pieces += len(parts)
        unknown += parts.count(UNKNOWN)
        cut += bool(tokenizer.encode(text).overflowing)
        words = [unit for unit in found if unit.isalpha()]
        terms.update(words)
        texts_with.update({*words})
    foreign = {term: count for term, count in terms.items() if not _is_one_piece(term, tokenizer)}
    common = [term for term in foreign if texts_with[term] >= COMMON]
    return VocabularyFit(
        impressions=len(impressions),
        cut=cut,
        terms=terms.total(),
        split=sum(foreign.values()),
        pieces=pieces,
        unknown=unknown,
        foreign=tuple(sorted(common, key=lambda term: (-foreign[term], term))[:LISTED]),
    )


def _units(text: str, tokenizer: Tokenizer) -> list[str]:
    """Return the terms, numbers and signs of a text, as the tokenizer takes them apart."""
    plain = tokenizer.normalizer.normalize_str(text)
    return [unit for unit, _place in tokenizer.pre_tokenizer.pre_tokenize_str(plain)]


def _is_one_piece(term: str, tokenizer: Tokenizer) -> bool:
    parts = [piece.value for piece in tokenizer.model.tokenize(term)]
    return len(parts) == 1 and parts != [UNKNOWN]
