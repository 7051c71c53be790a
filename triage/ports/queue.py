"""The broker."""

from typing import Protocol


class Queue(Protocol):
    """The broker, which may lose everything at any time. Raises BrokerUnavailable."""

    def enqueue_assessment(self, study_uid: str, revision: int) -> None:
        """Ask a worker to assess a revision."""

    def enqueue_delivery(self, delivery_id: int) -> None:
        """Ask a worker to make a delivery."""

    def count_waiting(self, queue: str) -> int:
        """Return the number of waiting tasks in the queue "assess" or "deliver"."""
