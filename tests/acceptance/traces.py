"""Traces of a running site: file names, contents, modes and the keys of its broker."""

import stat
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis
from redis.typing import KeyT

from tests.acceptance.site import LiveSite
from tests.builders.marked import found_in

EVERY_S = 0.2
#: Paths below the state folder that may contain identities.
PRIVATE = ("spool", "quarantine", "ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm")


def named_in(root: Path, but: tuple[str, ...] = ()) -> dict[str, set[str]]:
    """Return the identifiers below a folder by path, in file names and in contents.

    The contents of `but`, directly below the folder, are left out; their names are not.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted(root.rglob("*")):
        place = path.relative_to(root)
        found[f"name of {place}"] |= {*found_in(str(place).encode())}
        if path.is_file() and place.parts[0] not in but:
            found[str(place)] |= {*found_in(path.read_bytes())}
    return {place: names for place, names in found.items() if names}


def held_by_redis(socket: Path) -> bytes:
    """Return all keys of a Redis with what it holds under them."""
    client = redis.Redis(unix_socket_path=str(socket))
    try:
        return b"\n".join(part for key in client.scan_iter() for part in _under(client, key))
    finally:
        client.close()


def _under(client: "redis.Redis", key: KeyT) -> Iterator[bytes]:
    yield bytes(key)  # type: ignore[arg-type]
    for value in (client.dump(key),):
        if value is not None:
            yield bytes(value)


@dataclass
class TraceWatch:
    """Violations in a state folder at any moment of a run."""

    site: LiveSite
    folders: tuple[Path, ...]
    wrong: set[str] = field(default_factory=set)
    looks: int = 0

    def look(self) -> None:
        for folder in self.folders:
            for path in (folder, *folder.rglob("*")):
                try:
                    kind = path.lstat()
                except FileNotFoundError:
                    continue
                self.wrong |= {f"{path}: {why}" for why in _wrong(path, kind.st_mode)}
        if (socket := self.site.state / "redis" / "redis.sock").exists():
            with suppress(redis.exceptions.RedisError):  # it begins or ends
                self.wrong |= {f"in redis: {name}" for name in found_in(held_by_redis(socket))}
        self.looks += 1


def _wrong(path: Path, mode: int) -> Iterator[str]:
    """Yield violations: folders are 0700, files 0600, and no name contains an identifier."""
    expected = 0o700 if stat.S_ISDIR(mode) else 0o600
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        if stat.S_IMODE(mode) != expected:
            yield f"mode {stat.S_IMODE(mode):04o}"
    elif stat.S_IMODE(mode) & 0o077:
        yield f"mode {stat.S_IMODE(mode):04o} of a socket"
    yield from found_in(path.name.encode())


@contextmanager
def watching(site: LiveSite, *folders: Path) -> Iterator[TraceWatch]:
    """Look at the site's state folder and others again and again until the block ends."""
    watch, ended = TraceWatch(site, (site.state, *folders)), threading.Event()

    def again() -> None:
        while not ended.wait(EVERY_S):
            watch.look()

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()
        watch.look()
