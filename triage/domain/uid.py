"""What a UID looks like.

Rule: a UID that came from outside has this form, or it is nothing: it may become the name of a
folder.
"""

import re
from uuid import uuid4

#: PS3.5 9.1 but for leading zeros, which real ones have: digits and dots alone, so never a path.
UID = re.compile(r"[0-9]+(\.[0-9]+)*")
UID_LENGTH = 64


def new_uid() -> str:
    """Return a UID that nobody has had (PS3.5 B.2)."""
    return f"2.25.{uuid4().int}"


def is_uid(text: str) -> bool:
    """Tell whether a text has the form of a UID."""
    return len(text) <= UID_LENGTH and UID.fullmatch(text) is not None
