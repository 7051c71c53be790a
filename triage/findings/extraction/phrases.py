"""Finds the phrases of lexicon.yaml in a sentence, in time linear in its length.

No pattern is applied to the text except that of one word or number. Phrases are found in a tree of
words: at each word the longest phrase applies, and no phrase has more than `LONGEST` words.

Kinds of marks:

    site        a part of the body, or `study`
    property    what is judged of a site: size, function, ejection fraction, thickness
    imaging     the images of late enhancement, which are normal or not
    state       a judgement: normal, reduced, increased; or an abnormality: dilated, thick
    entity      a finding that is there or not: late enhancement, effusion
    diagnosis   a disease that implies findings
    number      a measurement with its unit
    word        an unknown word after a negation
    negation, uncertainty, history, present, assessed, hypothesis, affirmation, severity, join
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

LEXICON = Path(__file__).with_name("lexicon.yaml")
TYPO_LENGTH = 6  #: letters from which a word may be misspelt
WORD_MAX = 30  #: letters; a longer word is in no phrase
#: One word, number or sign. The alternatives exclude each other by their first character.
TOKEN = re.compile(r"\d{1,9}(?:[.,]\d{1,9})?|[a-z]+\d?|[:;,()?&+/%<>=-]", re.ASCII)
_JOINED = re.compile(r"(?<=[a-z])[-_/](?=[a-z])")
UNITS: Mapping[tuple[str, ...], str] = {
    ("%",): "%",
    ("percent",): "%",
    ("per", "cent"): "%",
    ("ml", "/", "m2"): "ml/m2",
    ("ml", "m2"): "ml/m2",
    ("cc", "/", "m2"): "ml/m2",
    ("ml", "/", "m", "2"): "ml/m2",
    ("ml", "per", "m2"): "ml/m2",
    ("cc", "per", "square", "metre"): "ml/m2",
    ("ml", "per", "square", "metre"): "ml/m2",
    ("mm",): "mm",
    ("cm",): "cm",
}
LONGEST_UNIT = max(map(len, UNITS))
DASHES = "\u2010\u2011\u2013\u2014\u2212"
ARTICLES = frozenset(("a", "an", "the", "any"))
UNIT_WORDS = {word for unit in UNITS for word in unit if word.isalpha()}


@dataclass(frozen=True)
class Mark:
    """A phrase of the lexicon, or a number, in a sentence."""

    kind: str
    value: str
    text: str = ""
    also: str = ""  #: a second value of this kind, or of another kind as "kind value"
    numbers: tuple[float, ...] = ()  #: of a number: one, or the two ends of a range

    def has(self, kind: str, *values: str) -> bool:
        """Return whether the mark is of a kind and, if values are given, has one of them."""
        named = [(self.kind, self.value), tuple(self.also.split(" ", 1))]
        return any(each[0] == kind and (not values or each[1] in values) for each in named)


@dataclass
class _Node:
    """A place in the tree of words."""

    then: dict[str, "_Node"] = field(default_factory=dict)
    concepts: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Lexicon:
    """The phrases, and the words that a misspelt one may stand for."""

    root: _Node
    words: frozenset[str]
    plain: frozenset[str]
    #: words of the lexicon, each under its spellings that lack one letter
    nearby: Mapping[str, str]

    def find_marks(self, tokens: Sequence[str]) -> Iterator[Mark]:
        """Yield the phrases and numbers of a sentence in order."""
        words = [self.correct(token) for token in tokens]
        at, last, is_ef = 0, None, False
        while at < len(words):
            mark: Mark | None
            if words[at][0].isdigit():
                mark, at = _read_number(words, at)
                if is_ef and not mark.value:  # "LVEF 42"
                    mark = replace(mark, value="%")
            else:
                mark, length = self._longest(words, at)
                if mark is None and last is not None and last.has("negation", "before"):
                    mark = _other_word(words[at])
                at += length
            last = mark
            if mark is not None and mark.kind != "filler":
                is_ef = mark.value.endswith("ef") or (is_ef and mark.kind in {"join", "severity"})
                yield mark

    def _longest(self, words: Sequence[str], at: int) -> tuple[Mark | None, int]:
        node, found, length = self.root, None, 1
        for end in range(at, len(words)):
            following = node.then.get(words[end])
            if following is None:
                break
            node = following
            if node.concepts:
                found, length = node, end + 1 - at
        if found is None:
            return None, 1
        (kind, value), *more = found.concepts
        text = " ".join(words[at : at + length])
        return Mark(kind, value, text, " ".join(more[0]) if more else ""), length

    def correct(self, word: str) -> str:
        """Return a misspelt word as the lexicon has it; any other word as it is."""
        if not TYPO_LENGTH <= len(word) <= WORD_MAX or word in self.words or word in self.plain:
            return word
        shorter_ones = list(_without_one(word))
        for shorter in shorter_ones:
            if shorter in self.words and len(shorter) >= TYPO_LENGTH:
                return shorter
        for shorter in (word, *shorter_ones):
            near = self.nearby.get(shorter)
            if near is not None and near[0] == word[0]:
                return near
        swapped = (word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1))
        return next((each for each in swapped if each in self.words), word)


def _other_word(word: str) -> Mark | None:
    """Return a mark for an unknown word after a negation, which so denies no finding: "no clot"."""
    return Mark("word", "other", word) if word.isalpha() and word not in ARTICLES else None


def _without_one(word: str) -> Iterator[str]:
    return (word[:i] + word[i + 1 :] for i in range(len(word)))


@cache
def load_lexicon() -> Lexicon:
    """Return the phrases of lexicon.yaml."""
    return build_lexicon(yaml.safe_load(LEXICON.read_text(encoding="utf-8")))


def with_own_words(own: Mapping[str, Sequence[str]]) -> Lexicon:
    """Return the lexicon with the words of further findings, by id of the finding."""
    table = dict(yaml.safe_load(LEXICON.read_text(encoding="utf-8")))
    taken = {" ".join(split_words(phrase)) for phrases in own.values() for phrase in phrases}
    kept = {
        concept: [phrase for phrase in phrases if " ".join(split_words(phrase)) not in taken]
        for concept, phrases in table.items()
    }
    return build_lexicon(kept | {f"entity {finding}": list(own[finding]) for finding in own})


def build_lexicon(table: Mapping[str, Iterable[Any]]) -> Lexicon:
    """Return the tree of a table of phrases by concept."""
    root, plain = _Node(), frozenset(table.get("plain words", ()))
    for concept, phrases in table.items():
        kind, _, value = concept.partition(" ")
        if kind == "plain":
            continue
        for phrase in phrases:
            node = root
            for word in split_words(str(phrase)) or [str(phrase)]:
                node = node.then.setdefault(word, _Node())
            if (kind, value) not in node.concepts:
                node.concepts.append((kind, value))
    words = frozenset(_words_of(root)) | UNIT_WORDS
    long = [word for word in sorted(words) if len(word) >= TYPO_LENGTH]
    nearby = {shorter: word for word in long for shorter in (word, *_without_one(word))}
    return Lexicon(root, words, plain, nearby)


def _words_of(node: _Node) -> Iterator[str]:
    for word, following in node.then.items():
        yield word
        yield from _words_of(following)


def split_words(text: str) -> list[str]:
    """Return the words, numbers and signs of a text, folded to lower case without accents."""
    straight = text.replace("\u2019", "'").replace("n't", " not")
    apart = unicodedata.normalize("NFKD", straight)
    folded = "".join(sign for sign in apart if not unicodedata.combining(sign)).lower()
    for dash in DASHES:
        folded = folded.replace(dash, "-")
    for sign, word in (("-ve", " negative"), ("+ve", " positive"), ("(-)", " negative"),
                       ("(+)", " positive"), ("m^2", "m2")):  # fmt: skip
        folded = folded.replace(sign, word)
    return TOKEN.findall(_JOINED.sub(" ", folded))


def _read_number(words: Sequence[str], at: int) -> tuple[Mark, int]:
    """Return a number or range ("35-40 %", "35 to 40 %") with its unit, and the place after it."""
    changes = at > 0 and words[at - 1] == "from"  # "from 30 to 48 %": the last value applies
    numbers = [_value(words[at])]
    at += 1
    joint = 1 if words[at : at + 1] in (["-"], ["to"]) else 2
    if words[at : at + joint] in (["-"], ["to"], ["%", "-"]) and _is_number(words, at + joint):
        numbers = [*([] if changes else numbers), _value(words[at + joint])]
        at += joint + 1
    for length in range(LONGEST_UNIT, 0, -1):
        unit = UNITS.get(tuple(words[at : at + length]))
        if unit is not None:
            return Mark("number", unit, numbers=tuple(numbers)), at + length
    return Mark("number", "", numbers=tuple(numbers)), at


def _is_number(words: Sequence[str], at: int) -> bool:
    return at < len(words) and words[at][0].isdigit()


def _value(word: str) -> float:
    return float(word.replace(",", "."))
