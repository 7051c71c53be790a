"""One call for all threads that ask for it at the same moment, such as an fsync or a transaction.

A caller returns only after a call that began after the caller had joined it. While one call runs,
further callers gather for the next one.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass
class _Batch(Generic[T]):
    items: list[T] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None


class BatchedCall(Generic[T]):
    """A function that several threads share; every thread of a batch gets the error it raised."""

    def __init__(self, act: Callable[[Sequence[T]], None]) -> None:
        self._act = act
        self._joining = threading.Lock()
        self._acting = threading.Lock()
        self._next: _Batch[T] = _Batch()

    def __call__(self, item: T) -> None:
        """Return when a call that includes `item` has ended; raise what that call raised."""
        with self._joining:
            batch = self._next
            batch.items.append(item)
            is_first = len(batch.items) == 1
        if is_first:
            self._run(batch)
        else:
            batch.ended.wait()
        if batch.error is not None:
            raise batch.error

    def _run(self, batch: _Batch[T]) -> None:
        with self._acting:
            with self._joining:
                self._next = _Batch()
            try:
                self._act(batch.items)
            except BaseException as error:  # noqa: BLE001 - every caller raises it
                batch.error = error
            finally:
                batch.ended.set()
