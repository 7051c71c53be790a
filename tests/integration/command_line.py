"""Run commands of the command line, each in a process of its own, without waiting for imports.

Starting Python and importing what a command needs takes two seconds of processor time and more.
`run_triage` asks a server process that has imported all commands to fork. The child has its own
memory, arguments, environment, working directory, standard streams and exit status, as with
`python -m triage`. Tests of the start itself and of services that go on running (`serve`,
`receive`, `work`, `web`) start Python.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NoReturn

import triage.__main__
from triage.cli import terminal

COLUMNS = "250"  #: of the terminal, so that no table is folded
LIMIT_S = 240.0  #: below the time limit of a test, so that the output of the command is shown
REQUEST_MAX = 1 << 20
#: The server's environment, copied at import: a test may change it before its first command.
ENVIRONMENT = dict(os.environ)


def run_triage(
    *arguments: object, config: Path | None = None, typed: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end.

    Args:
        *arguments: The arguments of `triage`.
        config: The settings file.
        typed: The text on the standard input.
        **environment: Variables on top of those of this process.
    """
    words = [*([] if config is None else ["--config", str(config)]), *map(str, arguments)]
    variables = {**os.environ, "COLUMNS": COLUMNS, **environment}
    request = json.dumps({"words": words, "variables": variables, "folder": str(Path.cwd())})
    with ExitStack() as stack:
        streams = [stack.enter_context(TemporaryFile()) for _ in range(3)]
        streams[0].write(typed.encode())
        streams[0].seek(0)
        code = _run(request.encode(), *(stream.fileno() for stream in streams))
        out, err = (_read(stream) for stream in streams[1:])
    return subprocess.CompletedProcess(["triage", *words], code, out, err)


def _read(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode()


def _run(request: bytes, *streams: int) -> int:
    """Have the server run a command with these streams; returns the exit status."""
    answers, answering = os.pipe()
    try:
        socket.send_fds(_server(), [request], [*streams, answering])
    finally:
        os.close(answering)
    with os.fdopen(answers, "rb") as answer:
        process_id = int(answer.readline())
        if not select.select([answer], [], [], LIMIT_S)[0]:
            os.kill(process_id, signal.SIGKILL)
        return int(answer.readline())


@cache
def _server() -> socket.socket:
    """Start the server of this process; it ends when this socket closes."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, REQUEST_MAX)
    command = [sys.executable, "-m", __name__, str(theirs.fileno())]
    server = subprocess.Popen(
        command, pass_fds=[theirs.fileno()], start_new_session=True, env=ENVIRONMENT
    )
    theirs.close()
    atexit.register(_stop, ours, server)
    return ours


def _stop(connection: socket.socket, server: "subprocess.Popen[bytes]") -> None:
    connection.close()
    server.wait(LIMIT_S)


def serve(requests: socket.socket) -> None:
    """Fork for every request until the other side closes the connection."""
    for module in set(triage.__main__.COMMANDS.values()):
        import_module(f"triage.cli.{module}")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps the children
    while True:
        content, files, *_ = socket.recv_fds(requests, REQUEST_MAX, 4)
        if not content:
            return
        if os.fork() == 0:
            requests.close()
            _supervise(json.loads(content), *files)
        for file in files:
            os.close(file)


def _supervise(request: dict[str, object], into: int, out: int, err: int, answering: int) -> None:
    """Run a command in another child; write its process id and, at its end, its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    process_id = os.fork()
    if process_id == 0:
        os.close(answering)
        for number, file in enumerate((into, out, err)):
            os.dup2(file, number)
            os.close(file)
        _command(**request)  # type: ignore[arg-type]
    os.write(answering, f"{process_id}\n".encode())
    _, status = os.waitpid(process_id, 0)
    os.write(answering, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _command(words: list[str], variables: dict[str, str], folder: str) -> NoReturn:
    """Run a command in this process as `python -m triage` does, and end the process."""
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    time.tzset()
    sys.argv = ["triage", *words]
    for console in (terminal.console, terminal.errors):
        console.width = int(variables["COLUMNS"])
    code: object = 0
    try:
        triage.__main__.main(words, prog_name="python -m triage")
    except SystemExit as end:
        code = end.code or 0
    _end(code)


def _end(code: object) -> NoReturn:
    """End this process as Python does, but without the destructors of ONNX Runtime.

    They join a thread that importing it started, and a fork has none: it would abort now and then.
    """
    if not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
