"""A common limit for the bytes of incoming instances that are held in memory.

The fast path of C-STORE and STOW-RS write an instance to the spool as it arrives. pynetdicom holds
it until it is complete: associations with storage commitment, deflated and big-endian data sets,
and every association with `receiver.fast: false`. Their sum is limited here, over all associations.
"""

import threading


class MemoryBudget:
    """Bytes that owners (associations, requests) hold. Thread-safe."""

    def __init__(self, limit_bytes: int = 1 << 27) -> None:
        self._limit_bytes = limit_bytes
        self._held: dict[int, int] = {}  #: by owner
        self._total = 0
        self._lock = threading.Lock()

    def reserve(self, owner: int, count: int) -> bool:
        """Return False if an owner may not hold so many bytes more, because others hold the rest.

        An owner that is alone may exceed the limit, so that the largest instance gets through; its
        own limit is `receiver.instance_bytes`.
        """
        with self._lock:
            held = self._held.get(owner, 0)
            if self._total + count > self._limit_bytes and self._total > held:
                return False
            self._held[owner] = held + count
            self._total += count
            return True

    def release(self, owner: int) -> None:
        """Forget what an owner held."""
        with self._lock:
            self._total -= self._held.pop(owner, 0)

    @property
    def held_bytes(self) -> int:
        """The bytes that all owners hold."""
        return self._total

    @property
    def why(self) -> str:
        """The text for the administrator about an instance that is refused for now."""
        return (
            f"incoming instances hold more than {self._limit_bytes} bytes (receiver.memory_bytes)"
        )
