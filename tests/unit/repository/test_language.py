"""The language of the code: plain technical English (see triage/README.md).

The counts guard against sliding back; whether a sentence is good is judged by reading.
"""

import re
from collections import Counter

from tests.builders.source_text import ROOT, source_files, texts

#: Words of a family per 1,000 words, at most.
FAMILIES = {
    "tell/say/word": (r"tells?|told|telling|says?|said|saying|words?|wordings?", 2.0),
    "stand/lie": (r"stands?|stood|standing|lies?|lay|lain|lying", 1.0),
    "who/nobody/somebody": (r"who|whoever|whom|whose|nobody|somebody|anybody", 1.5),
}
OPENINGS_MOST = 10
#: A sentence that opens with one of these to mean a thing has to be read twice.
OPENING = re.compile(r"(?:^|[.;:!?]\s+)((?:Of|What|Who|Whoever|Where)\s[^.?!]*[.?!]?)")


def test_words_of_the_former_house_style_stay_rare() -> None:
    found: Counter[str] = Counter()
    total = 0
    for path in source_files():
        for _, text in texts(path):
            total += len(re.findall(r"[A-Za-z]+", text))
            for family, (pattern, _most) in FAMILIES.items():
                found[family] += len(re.findall(rf"\b(?:{pattern})\b", text, re.IGNORECASE))
    rates = {family: 1000 * found[family] / total for family in FAMILIES}
    print(f"{total} words; per 1,000:", {k: round(v, 2) for k, v in rates.items()})
    assert {k: v for k, v in rates.items() if v > FAMILIES[k][1]} == {}


def test_sentences_open_with_their_subject() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {sentence[:80]}"
        for path in source_files()
        for line, text in texts(path)
        for sentence in OPENING.findall(re.sub(r"\s+", " ", text))
        if not sentence.endswith("?")
    ]
    print(len(found), "sentences open with Of, What, Who, Whoever or Where")
    assert len(found) <= OPENINGS_MOST, "\n".join(found)
