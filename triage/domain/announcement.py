"""What a scanner or PACS says that a study has: steps that were performed, and notifications.

Rule: an announcement is evidence, not a promise. Steps are forgotten open, images are deleted at
the console or routed elsewhere; so it can end a wait sooner and never prolongs one.
"""

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """How far what is announced has come: Performed Procedure Step Status (PS3.3 C.4.14)."""

    IN_PROGRESS = "IN PROGRESS"  #: more may be announced
    COMPLETED = "COMPLETED"
    DISCONTINUED = "DISCONTINUED"  #: broken off; what is announced was made all the same


class AnnouncementChange(StrEnum):
    """What became of a change to an announcement."""

    DONE = "done"
    UNKNOWN = "unknown"  #: there is none with this UID
    FINAL = "final"  #: it has ended, and may not be changed any more (PS3.4 F.7.2.2.3)


@dataclass(frozen=True)
class AnnouncedStudy:
    """What is announced of a study, by all announcements together."""

    instances: int
    here: int  #: how many of them have come
    in_progress: bool = False  #: a step has not ended
    discontinued: bool = False  #: a step was broken off
