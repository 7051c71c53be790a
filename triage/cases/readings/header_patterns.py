"""Patterns for what headers know of a study: its persons, numbers, places and dates of birth.

Rule: the header wins over medicine: where the patient is called Fabry, "Fabry" goes. Two limits
keep a text readable. A name that is a word of reports, as Wall or Small, is one with a capital
letter; and "no" or "not", which turn a sentence round, go only beside another part of the name.

Patterns are for folded text (`fold`): "Müller", "Muller" and "Mueller" are one name.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from triage.cases.readings.identifiers import Identifiers, listed

SHORT = 3  #: letters; shorter names are told by their capital letter
LEAST_NUMBER = 4  #: characters of an identifier; "12" is a segment
LONG_NUMBER = 6  #: characters; such a one is looked for before dates are
LETTER = r"[^\W\d_]"

#: Words of names that stand in reports as well.
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
#: Never a name by themselves: what turns a sentence, joins it, or stands for a name not known.
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
#: Words of institutions that are no name of one.
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
    """A label, and the pattern of what it stands for; the group "x", if any, is what goes."""

    label: str
    pattern: re.Pattern[str]


def fold(text: str) -> str:
    """Return a text with bare letters, quotes and hyphens; every character keeps its place."""
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
    """Return what is looked for before dates: long numbers, which may hold what looks like one."""
    return _numbers(number for number in known.numbers if _size(number) >= LONG_NUMBER)


def known_patterns(known: Identifiers) -> list[PatternMatch]:
    """Return what is looked for after dates."""
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
    """Yield patterns for a PN group, the surest first: parts together, then each by itself."""
    parts = fold(unicodedata.normalize("NFC", name).replace("ß", "ss")).split("^")[:3]
    words = [word for part in parts for word in re.split(r"[\s,.'_/=()-]+", part) if word]
    words = [word for word in words if word.isalpha() and word.lower() not in _TITLES]
    if not words:
        return
    if _UNSPACED.search(name):
        wanted = {"".join(words), *(word for word in words if len(word) > 1)}
        yield from (re.compile(re.escape(each)) for each in sorted(wanted, key=len, reverse=True))
        return
    joined = {"".join(re.findall(LETTER, part)) for part in parts} - {""}
    ways = {way for each in {*words, *joined} for way in _ways(each)}
    word = "|".join(sorted(ways, key=len, reverse=True))
    initials = re.escape("".join(sorted({each[0].upper() for each in words})))
    part, after = rf"(?:{word}|{_PARTICLE}|[{initials}]\.?)", rf"(?:,?\s[{initials}]\.)?"
    # Two parts of one name side by side are that person however they are written. As many single
    # letters as a name has initials stand between, no more: nothing here may run away.
    yield re.compile(
        rf"(?<!{LETTER})(?:{part}{_GAP}){{0,2}}(?:{word})(?:{_GAP}{part}){{0,2}}{_GAP}(?:{word})"
        rf"(?:{_GAP}(?:{word}))*(?!{LETTER}){after}",
        re.IGNORECASE,
    )
    yield from _initials(words)
    yield from _initials([part for part in parts if part.strip()])
    before = rf"(?<!{LETTER})(?:[{initials}]\.\s?){{0,3}}(?:{_PARTICLE}\s){{0,2}}"
    for alone in sorted({p for each in {*words, *joined} for p in _alone(each)}):
        yield re.compile(before + alone + after)


def _initials(parts: Sequence[str]) -> Iterator[re.Pattern[str]]:
    """Yield J.S. and S.J.; without dots, letters are medicine: MI, AS, LAD."""
    if len(parts) > 1:
        letters = [rf"{re.escape(part.strip()[0].upper())}\." for part in parts]
        orders = (letters, [*letters[1:], letters[0]])
        said = "|".join(r"\s?".join(each) for each in orders)
        yield re.compile(rf"(?<![\w.])(?:{said})(?!\w)")


#: Scripts that write without blanks: Chinese, Japanese, Korean.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_TITLES = listed("dr prof professor mr mrs ms miss md phd jr sr ii iii iv herr frau")


def _ways(word: str) -> set[str]:
    """Return how a word of a name may be written: with umlauts, or with e after the vowel."""
    small = word.lower()
    short = {re.sub(r"([aou])e", r"\1", small), small.replace("ss", "s")}
    long = {f"{small[: v.end()]}e{small[v.end() :]}" for v in re.finditer("[aou](?!e)", small)}
    other = {way for way in short | long if len(way) >= SHORT and way not in _WORDS}
    return {re.escape(way) for way in {small} | other}


def _alone(word: str) -> Iterator[str]:
    """Yield patterns for a word of a name that stands by itself."""
    small = word.lower()
    if small in NEVER_ALONE:
        return
    edge, end = rf"(?<!{LETTER})(?<!\[)", rf"(?:'?s)?(?!{LETTER})"
    if len(small) >= SHORT and small not in ORDINARY:
        yield rf"{edge}(?i:{'|'.join(sorted(_ways(word), key=len, reverse=True))}){end}"
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
        PatternMatch("[number]", re.compile(each))
        for each in sorted(set(_number_patterns(numbers)))
    ]


def _number_patterns(numbers: Iterable[str]) -> Iterator[str]:
    """Yield patterns that pass over separators and leading zeros."""
    for number in numbers:
        pieces = re.findall(r"\d+|[^\W\d_]+", fold(number))
        if _size(number) < LEAST_NUMBER or number.lower() in _WORDS:
            continue
        body = r"[\s._/-]{0,2}".join(_piece(piece) for piece in pieces)
        yield rf"(?i)(?<![^\W_]){body}(?![^\W_])"


def _piece(piece: str) -> str:
    """Return the pattern of letters or digits; long digits may be parted, as in a telephone."""
    bare = piece.lstrip("0")
    if not piece.isdigit() or len(bare) < LEAST_NUMBER:
        return re.escape(piece)
    return "0*" + (r"[ .-]?".join(bare) if len(bare) >= LONG_NUMBER else bare)


# -- places


def _places(places: Iterable[str]) -> list[re.Pattern[str]]:
    """Return patterns for whole lines, the parts between commas, and words that only one has."""
    found = set()
    for place in places:
        line = fold(unicodedata.normalize("NFC", place))
        for part in (line, *re.split(r"[,;\n\r^&~]+", line)):
            words = re.findall(r"[\w'-]+", part)
            # With and without the number of the house.
            for some in (words, [word for word in words if not word[0].isdigit()]):
                several = len(some) > 1 and not all(word.lower() in GENERIC for word in some)
                if several or any(_tells(word) for word in some):
                    found.add(r"[\s,;.]{1,3}".join(re.escape(word) for word in some))
        found |= {
            rf"(?-i:{word.capitalize()}|{word.upper()})"
            for word in re.findall(rf"{LETTER}+", line)
            if _tells(word) and len(word) > LEAST_NUMBER
        }
    return [
        re.compile(rf"(?<![^\W_])(?<!\[)(?i:{each})(?![^\W_])")
        for each in sorted(found, key=len, reverse=True)
    ]


def _tells(word: str) -> bool:
    """Tell whether a word of a place is one's own."""
    small = word.lower()
    return len(small) >= LEAST_NUMBER and not (
        small.isdigit() or small in GENERIC or small in ORDINARY or small in NEVER_ALONE
    )
