"""TLS of destinations that are no DICOM: whom we believe, and who we are.

Rule: a certificate is always checked, and the host's name with it; there is no way around.
"""

import ssl
from pathlib import Path

from triage.domain.errors import ConfigurationError


def context(
    trusted: Path | None, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """Return what TLS is spoken with, at least 1.2; trusted is None: whom the system trusts.

    Raises:
        ConfigurationError: A file holds not what it should.
    """
    try:
        made = ssl.create_default_context(cafile=trusted)
    except OSError:  # ssl.SSLError is one
        raise ConfigurationError(f"trusted: {trusted} holds no certificates") from None
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is None:
        return made
    try:
        # Of an encrypted key nobody is asked for the password.
        made.load_cert_chain(certificate, key, password=lambda: "")
    except OSError:
        raise ConfigurationError(
            f"certificate {certificate} and key {key} are no pair of PEM files, or the key is "
            "encrypted"
        ) from None
    return made
