"""One act for all who wait for it at the same moment: an fsync of a folder, a transaction.

Rule: nobody returns before an act that began after their call has ended. While one act is under
way, whoever comes gathers for the next one.
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
    """A call that is shared; an error is everybody's who took part."""

    def __init__(self, act: Callable[[Sequence[T]], None]) -> None:
        self._act = act
        self._door = threading.Lock()
        self._acting = threading.Lock()
        self._next: _Batch[T] = _Batch()

    def __call__(self, item: T) -> None:
        """Return when an act that includes `item` has ended; raise what it raised."""
        with self._door:
            gathering = self._next
            gathering.items.append(item)
            leads = len(gathering.items) == 1
        if leads:
            self._lead(gathering)
        else:
            gathering.ended.wait()
        if gathering.error is not None:
            raise gathering.error

    def _lead(self, gathering: _Batch[T]) -> None:
        with self._acting:
            with self._door:
                self._next = _Batch()
            try:
                self._act(gathering.items)
            except BaseException as error:  # noqa: BLE001 - every caller raises it
                gathering.error = error
            finally:
                gathering.ended.set()
