"""Queries to an archive, and its responses.

Each response is compared with the query, because an archive may ignore a query key. UIDs from an
archive are validated before use (uid.py).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

#: Wildcards (PS3.4 C.2.2.2.4) and the separator of several values (PS3.5 6.2).
WILD = re.compile(r"[*?\\]")


@dataclass(frozen=True)
class ArchiveQuery:
    """A query for studies; an empty value or None matches everything."""

    study_uid: str = ""
    patient_id: str = ""
    since: date | None = None  #: the first day
    until: date | None = None  #: the last day
    modality: str = ""
    description: str = ""  #: a part of StudyDescription, case-insensitive

    def split_by_day(self) -> Iterator["ArchiveQuery"]:
        """Yield one query per day, so that no response exceeds its limit."""
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
    """A study as its archive describes it."""

    study_uid: str
    study_date: str = ""  #: YYYYMMDD, as in the response
    modalities: tuple[str, ...] = ()  #: empty if the archive does not state it
    instances: int | None = None  #: None if the archive does not count
    sop_classes: tuple[str, ...] = ()  #: empty if the archive does not state it
    description: str = ""  #: may name a patient: compared, never shown
    patient_id: str = ""  #: compared, never shown

    def matches(self, search: ArchiveQuery) -> bool:
        """Return whether the study matches the query, in case the archive ignored a key.

        A missing modality counts as a match, because some archives do not state it; a missing
        patient ID does not.
        """
        modality, description = search.modality, search.description.casefold()
        return (
            search.study_uid in {"", self.study_uid}
            and search.patient_id in {"", self.patient_id}
            and (not modality or not self.modalities or modality in self.modalities)
            and description in self.description.casefold()
            and self._in_time(search)
        )

    def _in_time(self, search: ArchiveQuery) -> bool:
        """Compare the study date; an invalid or missing date counts as a match."""
        if not re.fullmatch(r"[0-9]{8}", self.study_date):
            return True
        first = "" if search.since is None else f"{search.since:%Y%m%d}"
        last = "99999999" if search.until is None else f"{search.until:%Y%m%d}"
        return first <= self.study_date <= last


@dataclass(frozen=True)
class RetrieveResponse:
    """The final response of an archive that has sent a study."""

    sent: int | None = None  #: instances, as the archive counts them; None if not stated
    failed: int = 0  #: instances that the archive could not send
    warned: int = 0  #: instances that the archive sent with a warning
    whole: bool = True  #: everything was sent, perhaps with warnings
    words: str = ""  #: the answer as text, unless it is plain success
