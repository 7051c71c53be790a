"""UIDs: validation and generation.

A UID from outside is used only if it has this form, because it may become the name of a folder.
"""

import re
from uuid import uuid4

#: PS3.5 9.1 but for leading zeros, which real ones have: digits and dots alone, so it cannot be a
#: path.
UID = re.compile(r"[0-9]+(\.[0-9]+)*")
UID_LENGTH = 64
#: Roots of the standard (PS3.6 A): of all its UIDs, and of its storage SOP classes.
DICOM_ROOT, STORAGE_ROOT = "1.2.840.10008.", "1.2.840.10008.5.1.4.1.1."


def new_uid() -> str:
    """Return a new, globally unique UID (PS3.5 B.2)."""
    return f"2.25.{uuid4().int}"


def has_storage_root(uid: str) -> bool:
    """Return whether a UID may be that of a storage SOP class: a private one, or by its root."""
    return uid.startswith(STORAGE_ROOT) or not uid.startswith(DICOM_ROOT)


def is_uid(text: str) -> bool:
    """Return whether a text has the form of a UID."""
    return len(text) <= UID_LENGTH and UID.fullmatch(text) is not None
