"""Words for the sequences and views of a study, as hospitals of several languages write them."""

from collections.abc import Mapping
from types import MappingProxyType

from triage.imaging.rules import SequenceType, View

Words = Mapping[SequenceType | View, str]
KEYS = (
    SequenceType.CINE,
    SequenceType.LGE,
    View.SAX,
    View.FOUR_CHAMBER,
    View.TWO_CHAMBER,
    View.THREE_CHAMBER,
)


def _words(*words: str) -> Words:
    return MappingProxyType(dict(zip(KEYS, words, strict=True)))


#: By language: cine, late enhancement, short axis, four, two and three chambers.
WORDS: Mapping[str, Words] = MappingProxyType(
    {
        "english": _words("cine", "late enhancement", "short axis", "4CH", "2CH", "3CH"),
        "german": _words(
            "Cine", "Spätaufnahme", "Kurzachse", "Vierkammerblick", "2-Kammer", "Dreikammerblick"
        ),
        "french": _words(
            "Ciné", "Rehaussement tardif", "petit axe", "4 cavités", "2 cavités", "trois cavités"
        ),
        "spanish": _words(
            "Cine", "Realce tardío", "eje corto", "4 cámaras", "dos cámaras", "tres cámaras"
        ),
        "portuguese": _words(
            "Cine", "Realce tardio", "eixo curto", "quatro câmaras", "2 câmaras", "três câmaras"
        ),
        "italian": _words(
            "Cine", "Enhancement tardivo", "asse corto", "quattro camere", "due camere", "3 camere"
        ),
        "dutch": _words(
            "Cine", "late aankleuring", "korte as", "vierkamer", "tweekamer", "driekamer"
        ),
        "polish": _words(
            "Kino", "późne wzmocnienie", "oś krótka", "czterojamowa", "dwujamowa", "trójjamowa"
        ),
        "japanese": _words("シネ", "遅延造影", "短軸", "四腔", "二腔", "三腔"),
        "chinese": _words("电影", "延迟强化", "短轴", "四腔心", "两腔心", "三腔心"),
        "korean": _words("시네", "지연조영", "단축", "4방", "2방", "3방"),
    }
)
#: Names after views; a cine of another plane may have them.
WRONG_WORDS = ("4CH", "2-Kammer", "trois cavités", "SAX", "eje corto", "四腔", "series 7", "단축")
