"""What an archive is asked for, and what it says of its studies.

Rule: what an archive says is compared with what was asked, for it may pass over a key; and its UIDs
are looked at before they are used (uid.py).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

#: Characters by which one key would match many (PS3.4 C.2.2.2.4), or be several (PS3.5 6.2).
WILD = re.compile(r"[*?\\]")


@dataclass(frozen=True)
class ArchiveQuery:
    """Which studies are looked for; what is empty or None does not matter."""

    study_uid: str = ""
    patient_id: str = ""
    since: date | None = None  #: the first day
    until: date | None = None  #: the last day
    modality: str = ""
    description: str = ""  #: a part of StudyDescription, in any case

    def split_by_day(self) -> Iterator["ArchiveQuery"]:
        """Yield the same for one day after the other, so that no answer grows beyond its limit."""
        if self.since is None or self.until is None:
            yield self
            return
        for days in range((self.until - self.since).days + 1):
            day = self.since + timedelta(days)
            yield ArchiveQuery(
                self.study_uid, self.patient_id, day, day, self.modality, self.description
            )


@dataclass(frozen=True)
class ArchivedStudy:
    """A study as its archive tells of it."""

    study_uid: str
    study_date: str = ""  #: YYYYMMDD, as it was told
    modalities: tuple[str, ...] = ()  #: empty where the archive does not say
    instances: int | None = None  #: None where the archive does not count
    sop_classes: tuple[str, ...] = ()  #: empty where the archive does not say
    description: str = ""  #: may name a patient: it is compared, never shown
    patient_id: str = ""  #: compared, never shown

    def matches(self, search: ArchiveQuery) -> bool:
        """Tell whether this is what was looked for: an archive may pass over a key of a search.

        What it does not say of the modality counts as right, for there may be such archives; what
        it does not say of the patient counts as wrong.
        """
        modality, words = search.modality, search.description.casefold()
        return (
            search.study_uid in {"", self.study_uid}
            and search.patient_id in {"", self.patient_id}
            and (not modality or not self.modalities or modality in self.modalities)
            and words in self.description.casefold()
            and self._in_time(search)
        )

    def _in_time(self, search: ArchiveQuery) -> bool:
        """Compare the days; a date that is none, or is not told, is left to the archive."""
        if not re.fullmatch(r"[0-9]{8}", self.study_date):
            return True
        first = "" if search.since is None else f"{search.since:%Y%m%d}"
        last = "99999999" if search.until is None else f"{search.until:%Y%m%d}"
        return first <= self.study_date <= last


@dataclass(frozen=True)
class RetrieveResponse:
    """What an archive said when it had sent a study."""

    sent: int | None = None  #: instances, as it counts them; None: it does not say
    failed: int = 0  #: instances that it could not send
    warned: int = 0  #: instances that it sent with a warning
    whole: bool = True  #: by its answer everything was sent, if perhaps with warnings
    words: str = ""  #: its answer, where that is not plain success
