"""Announcements of a scanner or PACS about a study: performed procedure steps and notifications.

An announcement is evidence, not a promise: steps stay open by mistake, and images are deleted at
the console or routed elsewhere. Therefore an announcement can end a wait sooner, and never prolongs
one beyond the quiet time.
"""

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """Performed Procedure Step Status (PS3.3 C.4.14)."""

    IN_PROGRESS = "IN PROGRESS"  #: more instances may be announced
    COMPLETED = "COMPLETED"
    DISCONTINUED = "DISCONTINUED"  #: ended early; the announced instances exist


class AnnouncementChange(StrEnum):
    """The result of a change to an announcement."""

    DONE = "done"
    UNKNOWN = "unknown"  #: no announcement has this UID
    FINAL = "final"  #: the step has ended and may not be changed (PS3.4 F.7.2.2.3)


@dataclass(frozen=True)
class AnnouncedStudy:
    """The announced content of a study, over all announcements."""

    instances: int
    here: int  #: how many of them have arrived
    in_progress: bool = False  #: a step has not ended
    discontinued: bool = False  #: a step was discontinued
