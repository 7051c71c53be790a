"""Which associations are still bringing which study.

Rule: a study is being brought by an association from its first instance until the association ends
or turns to another study. A sender that keeps its associations open for whatever comes next holds
up no more than the last study that it sent, and that until the association's idle time-out.
"""

from collections.abc import Hashable
from threading import Lock


class OpenAssociations:
    """What the receivers of this process know of their associations."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._bringing: dict[Hashable, str | None] = {}

    def open(self, association: Hashable) -> None:
        """An association was accepted."""
        with self._lock:
            self._bringing[association] = None

    def note_instance(self, association: Hashable, study_uid: str) -> None:
        """An instance of a study came; one that ended meanwhile brings nothing any more."""
        with self._lock:
            if association in self._bringing:
                self._bringing[association] = study_uid

    def close(self, association: Hashable) -> None:
        """An association was released or aborted, or its connection broke."""
        with self._lock:
            self._bringing.pop(association, None)

    def count_sending(self, study_uid: str) -> int:
        """Return how many open associations brought instances of a study last."""
        with self._lock:
            return list(self._bringing.values()).count(study_uid)
