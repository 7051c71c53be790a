"""The language of a prompt, by frequent terms of radiology reports in seven languages.

A vocabulary of a model alone does not show it: that of BERT has many German and French terms.
"""

import re
import unicodedata
from collections import Counter

ENGLISH = "English"
#: Terms that reports have often and that English, or another language here, does not have.
_TERMS = {
    ENGLISH: "the is are with of there has shows reveals and left right",
    "German": "der das des dem den ein eine einer ist sind mit ohne kein keine nicht und im linker "
    "linke linken linkes rechter rechte rechten ventrikel kammer herz herzmuskel wand erweitert "
    "erweiterung vergrößert vergroessert verdickt eingeschränkt narbe nachweis bei zeigt",
    "French": "le les des du est sont avec sans pas une et gauche droit droite ventricule coeur "
    "cœur paroi dilaté dilatée dilatation épaissi cicatrice altérée montre présence",
    "Spanish": "el los las una del es con sin y izquierdo izquierda derecho derecha ventrículo "
    "ventriculo corazón pared dilatado dilatada hay engrosado cicatriz reducida muestra",
    "Italian": "il lo gli della del è con senza e sinistro sinistra destro destra ventricolo cuore "
    "parete dilatato dilatata ispessito cicatrice ridotta mostra presenza",
    "Portuguese": "o os um uma do da não com sem esquerdo esquerda direito direita ventrículo "
    "coração parede dilatado dilatada espessado cicatriz reduzida mostra há",
    "Dutch": "het een niet met zonder geen van en linker rechter hartkamer hart verwijd vergroot "
    "verdikt litteken toont",
}
TERMS = {language: frozenset(terms.split()) for language, terms in _TERMS.items()}
FEWEST = 2  #: terms of a language, of which one alone may be an abbreviation or a name
OTHER = "another language"


def find_language(text: str) -> str | None:
    """Return the language of a text as its name, OTHER, or None if it is English or not known."""
    terms = re.findall(r"[^\W\d_]+", text)
    if any(not _is_latin(letter) for term in terms for letter in term):
        return OTHER
    counts = Counter(
        language for term in terms for language, known in TERMS.items() if term.lower() in known
    )
    english = counts.pop(ENGLISH, 0)
    accented = any(not term.isascii() and term[0].islower() for term in terms)
    if counts:
        language, most = max(counts.items(), key=lambda item: item[1])
        if most > english and (most >= FEWEST or accented):
            return language
    return OTHER if accented and not english else None


def _is_latin(letter: str) -> bool:
    return letter.isascii() or unicodedata.name(letter, "").startswith(("LATIN", "MICRO", "GREEK"))
