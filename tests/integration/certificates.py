"""Certificates for tests, made by openssl: an authority, and what it has signed."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.peers import peer

EXPIRED_DAYS = -1


def openssl(*arguments: str) -> None:
    subprocess.run([peer("openssl"), *arguments], check=True, capture_output=True)


@dataclass(frozen=True)
class Signed:
    """A certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self.certificate = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        named = ("-subj", f"/CN={name}", "-days", "2")
        files = ("-keyout", str(self._key), "-out", str(self.certificate))
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", *named, *files)

    def sign(self, name: str, days: int = 2) -> Signed:
        """Return a certificate for 127.0.0.1 and DNS `name`.example, with `name` as common name."""
        base = self._folder / f"{self.certificate.stem}-{name}"
        made = Signed(base.with_suffix(".pem"), base.with_suffix(".key"))
        request, extensions = base.with_suffix(".csr"), base.with_suffix(".ext")
        extensions.write_text(f"subjectAltName=IP:127.0.0.1,DNS:{name}.example\n")
        files = ("-keyout", str(made.key), "-out", str(request))
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", *files)
        by = ("-CA", str(self.certificate), "-CAkey", str(self._key), "-CAcreateserial")
        how = ("-days", str(days), "-extfile", str(extensions))
        out = ("-in", str(request), "-out", str(made.certificate))
        openssl("x509", "-req", *by, *how, *out)
        return made


@dataclass(frozen=True)
class TlsWorld:
    """The certificates of a receiver, its senders and a foreign authority."""

    ours: Authority
    server: Signed
    client: Signed
    other_client: Signed
    expired: Signed
    stranger: Signed  #: signed by the foreign authority


def issue_certificates(folder: Path) -> TlsWorld:
    """Return certificates signed in `folder`; making them takes about a second."""
    ours, theirs = Authority(folder, "ours"), Authority(folder, "theirs")
    return TlsWorld(
        ours=ours,
        server=ours.sign("server"),
        client=ours.sign("pacs"),
        other_client=ours.sign("mr1"),
        expired=ours.sign("late", EXPIRED_DAYS),
        stranger=theirs.sign("pacs"),
    )
