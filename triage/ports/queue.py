"""The broker."""

from typing import Protocol


class Queue(Protocol):
    """The broker: it may forget everything at any time. Raises BrokerUnavailable."""

    def enqueue_assessment(self, study_uid: str, revision: int) -> None:
        """Ask a worker to assess a revision."""

    def enqueue_delivery(self, delivery_id: int) -> None:
        """Ask a worker to make a delivery."""

    def count_waiting(self, queue: str) -> int:
        """Return how many tasks wait in the queue "assess" or "deliver"."""
