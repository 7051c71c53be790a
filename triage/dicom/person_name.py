"""Person names (PS3.5 6.2.1) of one patient: two spellings, or two people.

Names are compared only after identifiers and birth dates agree, and only as spellings: by case,
accents, transliteration, punctuation, script, and a middle name that is missing or an initial. Two
names in one script that differ in more are two people, whatever else agrees: twins share birth date
and family name, and an identifier may have been chosen by mistake.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from enum import Enum, auto
from itertools import product

#: Transliterations that hospitals use beside the bare letter, e.g. Müller, Mueller and Muller.
TRANSLITERATIONS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe"})
#: Punctuation that joins two words or stands for nothing: Miller-Smith, Miller Smith, MillerSmith.
HYPHENS, APOSTROPHES = (
    r"[-\u2010-\u2015\u2212\uff0d]",
    r"['`\u00b4\u02b9\u02bc\u2018\u2019\u201b\uff07]",
)
SEPARATORS = r"[\s^,.\u00b7\u30fb]+"
LEAST_WORDS = 2  #: words of a name that is part of a longer one, e.g. without a middle name

Words = tuple[str, ...]
Groups = Sequence[set[Words]]  #: by script: alphabetic, ideographic, phonetic; empty if missing


class Certainty(Enum):
    """What shows that the images are of one patient, before their names are compared."""

    NONE = auto()
    IDENTIFIED = auto()  #: every image states the same Patient ID
    CONFIRMED = auto()  #: and the same birth date

    @property
    def is_identified(self) -> bool:
        """Whether every image states the same Patient ID."""
        return self is not Certainty.NONE


class NameMatch(Enum):
    """The result of comparing two names."""

    SAME = auto()
    OTHER_SCRIPT = auto()  #: they have no script in common and cannot be compared
    DIFFERENT = auto()


def count_people(names: Collection[str], certainty: Certainty) -> int:
    """Return how many people the names are of; 1 if they are spellings of one name.

    Every name is compared with the fullest one, because a short name may be part of two others.
    """
    groups = {name: found for name in names if any(found := split_name(name))}
    if not groups:
        return 1
    fullest = max(groups, key=lambda name: _fullness(groups[name]))
    matches = {name: match_names(groups[name], groups[fullest], certainty) for name in groups}
    different = [name for name, match in matches.items() if match is NameMatch.DIFFERENT]
    foreign = [name for name, match in matches.items() if match is NameMatch.OTHER_SCRIPT]
    if certainty is not Certainty.CONFIRMED:
        different, foreign = [*different, *foreign], []
    return (
        1
        + len({tuple(map(frozenset, groups[name])) for name in different})
        + (count_people(foreign, certainty) - 1)
    )


def match_names(one: Groups, other: Groups, certainty: Certainty) -> NameMatch:
    """Compare two names by their component groups (PS3.5 6.2.1.1).

    A name with one group may have it in any script. Of two names with several groups, those of the
    same script must agree, because two people may share a spelling in one of them.
    """
    scripts = _list_scripts(one), _list_scripts(other)
    if all(scripts) and scripts[0].isdisjoint(scripts[1]):
        return NameMatch.OTHER_SCRIPT
    if min(sum(map(bool, one)), sum(map(bool, other))) == 1:
        pairs = product(filter(None, one), filter(None, other))
        is_same = any(_agree(*pair, certainty) for pair in pairs)
    else:
        shared = [pair for pair in zip(one, other, strict=False) if all(pair)]
        is_same = bool(shared) and all(_agree(*pair, certainty) for pair in shared)
    return NameMatch.SAME if is_same else NameMatch.DIFFERENT


def split_name(name: str) -> Groups:
    """Return the spellings of each component group of a name, as words without case and accents."""
    return [set(_list_spellings(group)) - {()} for group in name.split("=")]


def _list_spellings(group: str) -> Iterator[Words]:
    for hyphen, apostrophe in product((" ", ""), repeat=2):
        text = re.sub(HYPHENS, hyphen, re.sub(APOSTROPHES, apostrophe, group))
        folded = unicodedata.normalize("NFKC", text).casefold()
        yield _split_words(folded)
        yield _split_words(folded.translate(TRANSLITERATIONS))


def _split_words(text: str) -> Words:
    plain = unicodedata.normalize("NFKD", text.translate(LETTERS))
    letters = "".join(sign for sign in plain if not unicodedata.combining(sign))
    return tuple(word for word in re.split(SEPARATORS, letters) if word)


def _fullness(groups: Groups) -> tuple[int, int, int, int, list[list[Words]]]:
    """Return a key that is highest for the name that states most: groups, words and letters."""
    spellings = [words for group in groups for words in group]
    return (
        sum(map(bool, groups)),
        max(map(len, spellings)),
        max(len("".join(words)) for words in spellings),
        len(spellings),
        list(map(sorted, groups)),
    )


def _list_scripts(groups: Groups) -> set[str]:
    """Return the scripts of a name's letters, as Unicode names them, e.g. LATIN and CJK."""
    letters = {sign for group in groups for words in group for word in words for sign in word}
    names = (unicodedata.name(sign, "").split(" ")[0] for sign in letters if sign.isalpha())
    return {re.split("[ -]", name)[0] for name in names}


def _agree(one: set[Words], other: set[Words], certainty: Certainty) -> bool:
    """Return whether two component groups are equal, or one is the other without a middle name.

    Part of a name is enough only beside equal Patient IDs, an initial only beside equal birth dates
    as well.
    """
    if one & other:
        return True
    pairs = [sorted(pair, key=len) for pair in product(one, other)]
    return certainty.is_identified and any(
        len(short) >= LEAST_WORDS
        and long[:LEAST_WORDS] == short[:LEAST_WORDS]
        and all(_is_same_word(*words, certainty) for words in zip(short, long, strict=False))
        for short, long in pairs
    )


def _is_same_word(one: str, other: str, certainty: Certainty) -> bool:
    """Return whether two words are equal, or one is the initial of the other."""
    is_initial = certainty is Certainty.CONFIRMED and 1 in {len(one), len(other)}
    return one == other or (is_initial and one[0] == other[0])
