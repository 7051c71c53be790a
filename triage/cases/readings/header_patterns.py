"""Patterns for the identifiers in a header: persons, numbers, places and years of birth.

The header takes precedence over medical terms: if the patient is called Fabry, "Fabry" is removed.
Two limits keep a text readable. A name that is also a common term in reports, such as Wall or
Small, matches only with a capital letter. "no" and "not", which negate a sentence, match only next
to another part of the name.

Patterns are for folded text (`fold`), in which "Müller", "Muller" and "Mueller" are one name.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from triage.cases.readings.identifiers import Identifiers, listed

SHORT = 3  #: letters; shorter names match only with a capital letter
LEAST_NUMBER = 4  #: characters of an identifier; "12" is a segment
LONG_NUMBER = 6  #: characters from which a number is searched before dates
LETTER = r"[^\W\d_]"

#: Parts of names that are also common terms in reports.
ORDINARY = listed(
    """
    wall small large long short head young old mild root base mid mass heart bush field grant hall
    hill lane major mark marks may moon more noble page park pool power price rich rose sharp side
    stone strong sweet swift thin thick low high lower upper white black brown green gray grey blood
    bright dark day deal dose early late end fast slow flow free full good best great close cross
    cut case check chest cook core down east west north south art axis rest stress scar cine will
    bill faith grace hope joy ray rod max min pat sue chance chase clay dean guy ivy june april
    august king kind law love man mean minor moderate severe noted seen line little loss
    ring rule sample series signs size space spot stable star study sum tip valve vein view
    volume ward wide wood work worth fat band bell bird bond born branch bridge camp chin coat cool
    corner crest cusp fish flag fold frank front gate gold hand hard hay home hood horn house hunt
    jet key lake lamb lead leaf left right lung lobe mix mount nail neck need new nice night part
    patch path peak pole post read real ridge rock salt sand set shadow sheet silver single sink
    skin snow song spring stand steel still stream summer swan tall temple top track trace true turn
    wave way wise wolf angel christian acute chronic marked focal global basal apex septum artery
    aorta cardiac ventricle muscle tissue image images rate ratio lad lax sax
    """
)
#: Never a name on their own: negations, conjunctions, particles and placeholders.
NEVER_ALONE = listed(
    """
    no not none nil non without with within normal normally abnormal absent present negative
    positive and or the an a is are was has in on at of for to by from as if it we all any less
    de del della der den van von vom zu la le les el al du da das do dos di bin ibn abu ter ten san
    und oder kein keine ohne nicht mit sin con sans pas
    anonymous anonymized anonymised unknown unnamed patient test phantom subject volunteer
    dr prof mr mrs ms md phd jr sr ii iii iv
    """
)
#: Generic terms in names of institutions.
GENERIC = listed(
    """
    hospital hospitals clinic clinics university medical center centre institute department division
    unit general health healthcare school college faculty imaging radiology cardiology cardiac heart
    cardiovascular magnetic resonance diagnostic diagnostics scanner station klinik klinikum
    krankenhaus universitatsklinikum universitat radiologie kardiologie hopital centro service
    services street strasse road avenue internal medicine surgery outpatient inpatient emergency
    research laboratory group practice ward office building floor room suite campus foundation trust
    myocardial vascular children childrens women womens royal saint community memorial first
    national regional county city state north south east west central
    """
)
_PARTICLE = r"(?:van|von|vom|der|den|de|del|della|la|le|du|da|dos|di|bin|ibn|abu|al|el|ter|ten|zu)"
_GAP = r"[\s,.'^_-]{1,3}"


class PatternMatch(NamedTuple):
    """A label, and the pattern that it replaces."""

    label: str
    pattern: re.Pattern[str]  #: replaced is its group "x", or else the whole match


def fold(text: str) -> str:
    """Return a text without diacritics, with plain quotes and hyphens, at equal positions."""
    return "".join(_FOLDED.get(sign, sign) if sign.isascii() else _fold(sign) for sign in text)


_FOLDED = {"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ß": "s"} | {
    "\u0131": "i",  # without a dot
    "\u2019": "'",
    "\u2018": "'",
    "\u2013": "-",
    "\u2014": "-",
    "\u2011": "-",
    "\xa0": " ",
}


def _fold(sign: str) -> str:
    if sign in _FOLDED:
        return _FOLDED[sign]
    return unicodedata.normalize("NFKD", sign)[0] if sign.isalpha() else sign


def long_number_patterns(known: Identifiers) -> list[PatternMatch]:
    """Return patterns to search before dates: a long number may contain a date-like part."""
    return _numbers(number for number in known.numbers if _size(number) >= LONG_NUMBER)


def known_patterns(known: Identifiers) -> list[PatternMatch]:
    """Return the patterns to search after dates."""
    return [
        *(PatternMatch("[place]", pattern) for pattern in _places(known.places)),
        *(
            PatternMatch("[name]", pattern)
            for name in sorted(known.names)
            for pattern in _person(name)
        ),
        *_numbers(number for number in known.numbers if _size(number) < LONG_NUMBER),
        *(
            PatternMatch("[date]", re.compile(rf"(?<![\d.,]){year}(?![\d.,]?\d|\s*(?:ml|mm|ms)\b)"))
            for year in sorted({date[:4] for date in known.dates if re.match(r"\d{4}", date)})
        ),
    ]


# -- persons


def _person(name: str) -> Iterator[re.Pattern[str]]:
    """Yield patterns for a PN group, the most specific first: parts together, then alone."""
    parts = fold(unicodedata.normalize("NFC", name).replace("ß", "ss")).split("^")[:3]
    words = [word for part in parts for word in re.split(r"[\s,.'_/=()-]+", part) if word]
    words = [word for word in words if word.isalpha() and word.lower() not in _TITLES]
    if not words:
        return
    if _UNSPACED.search(name):
        wanted = {"".join(words), *(word for word in words if len(word) > 1)}
        yield from (re.compile(re.escape(word)) for word in sorted(wanted, key=len, reverse=True))
        return
    joined = {"".join(re.findall(LETTER, part)) for part in parts} - {""}
    spellings = {spelling for word in {*words, *joined} for spelling in _spellings(word)}
    word = "|".join(sorted(spellings, key=len, reverse=True))
    initials = re.escape("".join(sorted({word[0].upper() for word in words})))
    part, after = rf"(?:{word}|{_PARTICLE}|[{initials}]\.?)", rf"(?:,?\s[{initials}]\.)?"
    # Two adjacent parts of one name mean that person in any notation. The number of initials
    # between them is bounded, so that matching time is bounded too.
    yield re.compile(
        rf"(?<!{LETTER})(?:{part}{_GAP}){{0,2}}(?:{word})(?:{_GAP}{part}){{0,2}}{_GAP}(?:{word})"
        rf"(?:{_GAP}(?:{word}))*(?!{LETTER}){after}",
        re.IGNORECASE,
    )
    yield from _initials(words)
    yield from _initials([part for part in parts if part.strip()])
    before = rf"(?<!{LETTER})(?:[{initials}]\.\s?){{0,3}}(?:{_PARTICLE}\s){{0,2}}"
    for alone in sorted({p for single in {*words, *joined} for p in _alone(single)}):
        yield re.compile(before + alone + after)


def _initials(parts: Sequence[str]) -> Iterator[re.Pattern[str]]:
    """Yield J.S. and S.J.; letters without dots are medical abbreviations: MI, AS, LAD."""
    if len(parts) > 1:
        letters = [rf"{re.escape(part.strip()[0].upper())}\." for part in parts]
        orders = (letters, [*letters[1:], letters[0]])
        either = "|".join(r"\s?".join(order) for order in orders)
        yield re.compile(rf"(?<![\w.])(?:{either})(?!\w)")


#: Scripts without spaces between parts of a name: Chinese, Japanese, Korean.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_TITLES = listed("dr prof professor mr mrs ms miss md phd jr sr ii iii iv herr frau")


def _spellings(word: str) -> set[str]:
    """Return the spellings of a part of a name: with umlauts, or with e after the vowel."""
    small = word.lower()
    short = {re.sub(r"([aou])e", r"\1", small), small.replace("ss", "s")}
    long = {f"{small[: v.end()]}e{small[v.end() :]}" for v in re.finditer("[aou](?!e)", small)}
    other = {spelling for spelling in short | long if len(spelling) >= SHORT}
    return {re.escape(spelling) for spelling in {small} | (other - _WORDS)}


def _alone(word: str) -> Iterator[str]:
    """Yield patterns for a part of a name on its own."""
    small = word.lower()
    if small in NEVER_ALONE:
        return
    edge, end = rf"(?<!{LETTER})(?<!\[)", rf"(?:'?s)?(?!{LETTER})"
    if len(small) >= SHORT and small not in ORDINARY:
        yield rf"{edge}(?i:{'|'.join(sorted(_spellings(word), key=len, reverse=True))}){end}"
    elif len(small) >= SHORT:
        yield rf"{edge}(?:{re.escape(small.capitalize())}|{re.escape(small.upper())}){end}"
    elif len(small) > 1:
        yield rf"{edge}{re.escape(small.capitalize())}(?!{LETTER})"


_WORDS = ORDINARY | NEVER_ALONE | GENERIC


# -- numbers


def _size(number: str) -> int:
    return sum(sign.isalnum() for sign in number)


def _numbers(numbers: Iterable[str]) -> list[PatternMatch]:
    return [
        PatternMatch("[number]", re.compile(pattern))
        for pattern in sorted(set(_number_patterns(numbers)))
    ]


def _number_patterns(numbers: Iterable[str]) -> Iterator[str]:
    """Yield patterns that ignore separators and leading zeros."""
    for number in numbers:
        pieces = re.findall(r"\d+|[^\W\d_]+", fold(number))
        if _size(number) < LEAST_NUMBER or number.lower() in _WORDS:
            continue
        body = r"[\s._/-]{0,2}".join(_piece(piece) for piece in pieces)
        yield rf"(?i)(?<![^\W_]){body}(?![^\W_])"


def _piece(piece: str) -> str:
    """Return the pattern of letters or digits; long digits may have separators, as in a phone."""
    bare = piece.lstrip("0")
    if not piece.isdigit() or len(bare) < LEAST_NUMBER:
        return re.escape(piece)
    return "0*" + (r"[ .-]?".join(bare) if len(bare) >= LONG_NUMBER else bare)


# -- places


def _places(places: Iterable[str]) -> list[re.Pattern[str]]:
    """Return patterns for whole lines, for parts between commas, and for distinctive words."""
    found = set()
    for place in places:
        line = fold(unicodedata.normalize("NFC", place))
        for part in (line, *re.split(r"[,;\n\r^&~]+", line)):
            words = re.findall(r"[\w'-]+", part)
            # With and without the house number.
            for some in (words, [word for word in words if not word[0].isdigit()]):
                several = len(some) > 1 and not all(word.lower() in GENERIC for word in some)
                if several or any(_is_distinctive(word) for word in some):
                    found.add(r"[\s,;.]{1,3}".join(re.escape(word) for word in some))
        found |= {
            rf"(?-i:{word.capitalize()}|{word.upper()})"
            for word in re.findall(rf"{LETTER}+", line)
            if _is_distinctive(word) and len(word) > LEAST_NUMBER
        }
    return [
        re.compile(rf"(?<![^\W_])(?<!\[)(?i:{pattern})(?![^\W_])")
        for pattern in sorted(found, key=len, reverse=True)
    ]


def _is_distinctive(word: str) -> bool:
    """Return whether a word identifies a place."""
    small = word.lower()
    return len(small) >= LEAST_NUMBER and not (
        small.isdigit() or small in GENERIC or small in ORDINARY or small in NEVER_ALONE
    )
