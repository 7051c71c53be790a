"""TLS of the receivers (PS3.15 B.12, BCP 195: RFC 8996, RFC 9325).

Only TLS 1.2 and 1.3 are accepted, and for TLS 1.2 only the forward-secret AEAD suites of RFC 9325
4.2. Unusable files are reported at the start, not at the first handshake.
"""

import hashlib
import ssl
from pathlib import Path
from typing import Any

from triage.config import TlsSettings
from triage.dimse.association import TLS12_CIPHER_SUITES
from triage.domain.errors import ConfigurationError


def create_context(settings: TlsSettings, name: str = "receiver.tls") -> ssl.SSLContext:
    """Return the context of a TLS port; raise ConfigurationError if its files are unusable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join(TLS12_CIPHER_SUITES))
    try:
        # Without a password OpenSSL would ask for one on the terminal; with "" loading fails.
        context.load_cert_chain(settings.certificate, settings.key, password="")
        if settings.clients is not None:
            context.load_verify_locations(settings.clients)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:  # ssl.SSLError is a subclass
        raise ConfigurationError(f"{name}: {_describe_file_error(error, settings)}") from None
    return context


def read_certificate_names(connection: object) -> frozenset[str]:
    """Return the names of a connection's client certificate; empty if there is none.

    The names are its SHA-256 fingerprint (64 hexadecimal digits), its common names and its DNS
    names (RFC 5280).
    """
    if not isinstance(connection, ssl.SSLSocket | ssl.SSLObject):
        return frozenset()
    encoded = connection.getpeercert(binary_form=True)
    if encoded is None:
        return frozenset()
    fields: Any = connection.getpeercert() or {}
    subject = [pair for relative in fields.get("subject", ()) for pair in relative]
    pairs = [*subject, *fields.get("subjectAltName", ())]
    names = {str(value) for kind, value in pairs if kind in {"commonName", "DNS"}}
    return frozenset({hashlib.sha256(encoded).hexdigest(), *names})


def _describe_file_error(error: OSError, settings: TlsSettings) -> str:
    files: list[Path] = [settings.certificate, settings.key]
    files += [settings.clients] if settings.clients else []
    for path in files:
        try:
            path.read_bytes()
        except OSError as missing:
            return f"cannot read {path}: {missing.strerror}"
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return f"{settings.key} is not the key of {settings.certificate}"
    return f"{', '.join(map(str, files))}: not PEM, or the key is encrypted"
