"""UIDs: validation and generation.

A UID from outside is used only if it has this form, because it may become the name of a folder.
"""

import re
from uuid import uuid4

#: PS3.5 9.1 but for leading zeros, which real ones have: digits and dots alone, so it cannot be a
#: path.
UID = re.compile(r"[0-9]+(\.[0-9]+)*")
UID_LENGTH = 64


def new_uid() -> str:
    """Return a new, globally unique UID (PS3.5 B.2)."""
    return f"2.25.{uuid4().int}"


def is_uid(text: str) -> bool:
    """Return whether a text has the form of a UID."""
    return len(text) <= UID_LENGTH and UID.fullmatch(text) is not None
