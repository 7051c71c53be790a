"""Connections of hosts without credentials, opened and held by a child process."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

#: The first bytes of a TLS handshake that goes on no further (RFC 8446 5.1).
STALLED_HANDSHAKE = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"

_FLOOD = """
import resource, select, socket, sys, time
ports, count, burst = sys.argv[1].split(","), int(sys.argv[2]), int(sys.argv[3])
contents = [bytes.fromhex(each) for each in sys.argv[4:]]
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
held = []
until = time.monotonic() + 20

def wait(connections):  # until they are connected, or evicted already
    waiting = {each.fileno() for each in connections}
    poll = select.poll()
    for descriptor in waiting:
        poll.register(descriptor, select.POLLOUT)
    while waiting and time.monotonic() < until:
        for descriptor, _ in poll.poll(100):
            poll.unregister(descriptor)
            waiting.remove(descriptor)

for number in range(count):
    for port in ports:
        connection = socket.socket()
        connection.setblocking(False)
        # half of one host, the rest of many
        host = "127.1.0.1" if number % 2 else f"127.1.{1 + number // 250}.{1 + number % 250}"
        connection.bind((host, 0))
        connection.connect_ex(("127.0.0.1", int(port)))
        held.append(connection)
    if number % burst == burst - 1:
        wait(held[-burst * len(ports):])
wait(held)
for number, connection in enumerate(held):
    try:
        connection.send(contents[number % len(contents)])
    except OSError:  # evicted already
        pass
print("open", flush=True)
sys.stdin.read()
"""


@contextmanager
def flooded(
    ports: Sequence[int], contents: Sequence[bytes], count: int = 2000, burst: int = 2000
) -> Iterator[None]:
    """Hold connections to each port until the block ends; each sends one of `contents`.

    `burst` of them are opened at once to each port.
    """
    said = [",".join(map(str, ports)), str(count), str(burst), *(each.hex() for each in contents)]
    command = [sys.executable, "-c", _FLOOD, *said]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"open\n"
        try:
            yield
        finally:
            child.stdin.close()
