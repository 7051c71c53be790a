"""Series names in any language, as the rules read them.

A name is cut to 64 characters (VR LO, PS3.5 6.2) before anything is matched. It is then written in
lower case with single spaces, and letters lose their diacritics, so that a rule has one spelling:
"FastCINE_Spätaufnahme" is read as "fast cine spataufnahme".

Two things are kept as they are. A word of up to three letters with a diacritic: that it looks like
an abbreviation is chance ("äö" is not "ao", the aorta). The marks of kana and Hangul,
which are parts of a sign. Japanese, Chinese and Korean have no spaces between words; a space is put
where they meet Latin letters or digits, so that a rule finds "SAX" beside them.
"""

import re
import unicodedata
from functools import lru_cache

LONGEST_NAME = 64  #: characters of an LO
SHORT_WORD = 3  #: letters of a word that keeps its diacritics
#: Letters without a canonical decomposition.
LETTERS = str.maketrans(
    {
        "\u00df": "ss",
        "\u00e6": "ae",
        "\u0153": "oe",
        "\u00f8": "o",
        "\u0142": "l",
        "\u0111": "d",
        "\u00f0": "d",
        "\u0131": "i",
    }
)
MARKS = re.compile("[\u0300-\u036f]")  #: combining marks of Latin, Greek and Cyrillic letters
_UNSPACED = "\u3005-\u30ff\u3400-\u9fff\uac00-\ud7af"  #: kana, ideographs, Hangul
_PARTS = re.compile(
    rf"(?<=[a-z])(?=[A-Z])|(?<=[{_UNSPACED}])(?=[0-9A-Za-z])|(?<=[0-9A-Za-z])(?=[{_UNSPACED}])"
)
_NO_WORD = re.compile(r"[^\w*]+|_+")


@lru_cache(maxsize=1024)
def normalise_name(name: str) -> str:
    """Return a name in lower case with single spaces: "FastCINE_SAX b1" as "fast cine sax b1"."""
    composed = unicodedata.normalize("NFKC", _decode_again(name[:LONGEST_NAME]))
    words = _NO_WORD.sub(" ", _PARTS.sub(" ", composed)).lower().split()
    return " ".join(map(_fold_word, words))


def _decode_again(name: str) -> str:
    """Return UTF-8 that was read as Latin-1, because Specific Character Set is missing.

    Text in Latin-1 hardly ever is UTF-8 by chance: each of its letters would have to be followed by
    a control character or a sign.
    """
    if name.isascii():
        return name
    try:
        return name.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return name


def _fold_word(word: str) -> str:
    if word.isascii() or len(word) <= SHORT_WORD:
        return word
    bare = MARKS.sub("", unicodedata.normalize("NFD", word))
    return unicodedata.normalize("NFC", bare).translate(LETTERS)
