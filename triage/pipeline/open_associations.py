"""Which open associations still send which study.

An association sends a study from its first instance of it until the association ends or sends an
instance of another study. A sender that keeps its associations open therefore delays only the last
study that it sent, and that at most until the idle time-out or the hard limit. Only the
associations of this process are known: with several receivers, route each study to one of them.
"""

from collections.abc import Hashable
from threading import Lock


class OpenAssociations:
    """The open associations of this process, and the study that each one sent last."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._studies: dict[Hashable, str | None] = {}

    def open(self, association: Hashable) -> None:
        """Note that an association was accepted."""
        with self._lock:
            self._studies[association] = None

    def note_instance(self, association: Hashable, study_uid: str) -> None:
        """Note an instance of a study; ignored if the association has ended meanwhile."""
        with self._lock:
            if association in self._studies:
                self._studies[association] = study_uid

    def close(self, association: Hashable) -> None:
        """Note that an association was released or aborted, or that its connection broke."""
        with self._lock:
            self._studies.pop(association, None)

    def count_sending(self, study_uid: str) -> int:
        """Return how many open associations sent an instance of a study last."""
        with self._lock:
            return list(self._studies.values()).count(study_uid)
