"""Admit STOW-RS senders by bearer token (RFC 6750), TLS client certificate and address.

A token is 256 random bits from `triage token`. It cannot be guessed, so that neither a login
throttle nor a slow hash is needed, unlike for passwords that people choose. The settings contain
only its SHA-256, which does not allow to send.
"""

import hashlib
import hmac
from collections.abc import Mapping
from http import HTTPStatus

from receivers.networks import is_within
from triage.config import StowSender

CREDENTIALS_MISSING = "no token: send Authorization: Bearer TOKEN"
CREDENTIALS_UNKNOWN = (
    "unknown token, or not with the certificate of its sender: `triage token` makes a token for "
    "receiver.stow.senders"
)
TOKEN_PREFIX = "sha256$"  # noqa: S105 - of a hashed token in the settings


class StowAccessDenied(Exception):
    """The sender is not admitted; `status` is 401 or 403, the message states what to do."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class StowAccess:
    """The senders of the settings."""

    def __init__(self, senders: Mapping[str, StowSender]) -> None:
        self._senders = senders

    def admit(self, authorization: str, address: str, certificates: frozenset[str]) -> str:
        """Return the name of the sender; raise StowAccessDenied.

        `certificates` are the names of its client certificate (`tls.read_certificate_names`).
        """
        token = _hash_header_token(authorization)
        identified = [
            name
            for name, sender in self._senders.items()
            if _has_token(token, sender) and _has_certificate(certificates, sender)
        ]
        if not identified:
            raise StowAccessDenied(
                HTTPStatus.UNAUTHORIZED, CREDENTIALS_UNKNOWN if token else CREDENTIALS_MISSING
            )
        for name in identified:
            if is_within(address, self._senders[name].addresses):
                return name
        raise StowAccessDenied(
            HTTPStatus.FORBIDDEN, f"sender {identified[0]!r} is not allowed from this address"
        )


def hash_token(token: str) -> str:
    """Return a token as the settings contain it."""
    return TOKEN_PREFIX + hashlib.sha256(token.encode()).hexdigest()


def _hash_header_token(authorization: str) -> str:
    """Return the hashed token of an Authorization header; empty if it has none."""
    scheme, _, token = authorization.partition(" ")
    return hash_token(token.strip()) if scheme.lower() == "bearer" and token.strip() else ""


def _has_token(token: str, sender: StowSender) -> bool:
    return sender.token is None or hmac.compare_digest(token, sender.token)


def _has_certificate(certificates: frozenset[str], sender: StowSender) -> bool:
    return not sender.certificates or bool(certificates & set(sender.certificates))
