"""The names of views for a radiologist; a slot without a name here keeps its name in the bundle."""

import re

#: The view slots of the published model.
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
    """Return the name of a view slot with a capital letter."""
    name = NAMES.get(slot, slot)
    return name[:1].upper() + name[1:] if slot in NAMES else name


def spell_out_views(text: str) -> str:
    """Return `text` with names of view slots replaced, e.g. "cine_sa" by "cine short axis"."""
    return _SLOT.sub(lambda slot: NAMES[slot[1]], text)
