"""What a UID looks like.

Rule: a UID that came from outside has this form, or it is nothing: it may become the name of a
folder.
"""

import re

#: PS3.5 9.1 but for leading zeros, which real ones have: digits and dots alone, so never a path.
UID = re.compile(r"[0-9]+(\.[0-9]+)*")
UID_LENGTH = 64


def is_uid(text: str) -> bool:
    """Tell whether a text has the form of a UID."""
    return len(text) <= UID_LENGTH and UID.fullmatch(text) is not None
