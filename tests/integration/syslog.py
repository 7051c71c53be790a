"""An audit repository: rsyslog over TLS and TCP."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.certificates import Authority, Signed
from tests.peers import peer, unavailable
from tests.waiting import listens, wait_until
from triage.cli.demo_site import find_free_port

TLS_DRIVER = "usr/lib/*/rsyslog/lmnsd_gtls.so"
SETTINGS = """
global(workDirectory="{folder}" maxMessageSize="64k" parser.escapeControlCharactersOnReceive="off"
       defaultNetstreamDriverCAFile="{ca}" defaultNetstreamDriverCertFile="{certificate}"
       defaultNetstreamDriverKeyFile="{key}")
module(load="imtcp" {driver})
input(type="imtcp" port="{port}" address="127.0.0.1" ruleset="audit")
template(name="raw" type="string" string="%rawmsg%\\n")
template(name="parsed" type="string" string="%pri% %hostname% %app-name% %procid% %msgid%\\n")
ruleset(name="audit") {{
  action(type="omfile" file="{folder}/raw" template="raw" fileCreateMode="0600")
  action(type="omfile" file="{folder}/parsed" template="parsed" fileCreateMode="0600")
}}
"""


OVER_TLS = (
    'StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="{mode}" '
    'PermittedPeer=["triage"]'
)


@dataclass
class SyslogRepository:
    """An rsyslog that may be stopped and started again."""

    folder: Path
    settings: str
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        (self.folder / "rsyslog.conf").write_text(self.settings)
        arguments = ("-n", "-f", str(self.folder / "rsyslog.conf"), "-i", str(self.folder / "pid"))
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [peer("rsyslogd"), *arguments], stdout=log, stderr=log, cwd=self.folder
            )
        wait_until(lambda: listens(self.port), what="rsyslog")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(60)
            self.process = None
            (self.folder / "pid").unlink(missing_ok=True)

    def lines(self, name: str = "raw") -> list[bytes]:
        path = self.folder / name
        return path.read_bytes().splitlines() if path.exists() else []

    def has(self, count: int) -> None:
        wait_until(lambda: len(self.lines()) >= count, what=f"{count} messages")


@contextmanager
def rsyslog(
    folder: Path, authority: Authority, signed: Signed, mode: str | None
) -> Iterator[SyslogRepository]:
    """Run rsyslog over TLS with an authentication mode of its, or over TCP where that is None."""
    peer("rsyslogd")
    if mode is not None and not list(Path("/").glob(TLS_DRIVER)):
        unavailable("rsyslog-gnutls")
    folder.mkdir()
    folder.chmod(0o700)
    port = find_free_port()
    settings = SETTINGS.format(
        folder=folder,
        ca=authority.certificate,
        certificate=signed.certificate,
        key=signed.key,
        port=port,
        driver="" if mode is None else OVER_TLS.format(mode=mode),
    )
    repository = SyslogRepository(folder, settings, port)
    try:
        repository.start()
        yield repository
    finally:
        repository.kill()
