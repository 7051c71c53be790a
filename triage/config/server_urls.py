"""Whether a connection to Redis or PostgreSQL may leave this machine without TLS."""

from typing import Literal
from urllib.parse import parse_qs, urlsplit

from triage.config.fields import LOOPBACK

#: The settings that are URLs of servers.
ServerSetting = Literal["redis_url", "ledger", "case_library"]
#: Values of `sslmode` with which libpq uses TLS or fails (libpq, SSL Support).
TLS_MODES = {"require", "verify-ca", "verify-full"}
REMEDIES: dict[ServerSetting, str] = {
    "redis_url": "use rediss://",
    "ledger": "add ?sslmode=verify-full to the URL",
    "case_library": "add ?sslmode=verify-full to the URL",
}


def is_readable_on_the_way(url: str) -> bool:
    """Return whether a URL leads to another machine without TLS; False if it is not a URL."""
    try:
        parts = urlsplit(url)
    except ValueError:  # it is reported when it is opened
        return False
    if parts.scheme in {"rediss", "unix"}:
        return False
    options = parse_qs(parts.query)
    hosts = [*options.get("host", []), *([parts.hostname] if parts.hostname else [])]
    if all(host in LOOPBACK or host.startswith("/") for host in hosts):  # "/": a local socket
        return False
    return not TLS_MODES.intersection(options.get("sslmode", []))


def describe_remedy(setting: ServerSetting) -> str:
    """Return the error for a URL that is readable on the way; the URL may hold a password."""
    return (
        f"{setting} leads to another machine without TLS, so patients' data and passwords could be"
        f" read on the way: {REMEDIES[setting]}, or, in a network that you trust, set"
        f" without_tls: [{setting}]"
    )
