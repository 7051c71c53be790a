"""The names of views as a radiologist says them.

Rule: a slot that is not named here keeps the name that its bundle gives it.
"""

import re

#: The slots of the published layout.
NAMES = {
    "cine_lax": "cine long axis",
    "cine_sa": "cine short axis",
    "lge_sa": "late enhancement short axis",
    "lge_lax": "late enhancement four-chamber",
    "lge_2ch": "late enhancement two-chamber",
    "lge_3ch": "late enhancement three-chamber",
}
_SLOT = re.compile(rf"\b({'|'.join(NAMES)})\b")


def view_title(slot: str) -> str:
    """Return the name of a slot as it begins a line."""
    name = NAMES.get(slot, slot)
    return name[:1].upper() + name[1:] if slot in NAMES else name


def spell_out_views(text: str) -> str:
    """Return `text` with the names of slots in words."""
    return _SLOT.sub(lambda slot: NAMES[slot[1]], text)
