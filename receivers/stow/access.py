"""Who may send over HTTP: a bearer token (RFC 6750), a TLS client certificate, an address.

Rule: a token is 256 random bits that `triage token` made, so it cannot be guessed, and neither a
brake nor a slow hash is needed, unlike for passwords that people choose. The settings keep its
SHA-256: who reads them cannot send.
"""

import hashlib
import hmac
from collections.abc import Mapping
from http import HTTPStatus

from receivers.admission import is_within
from triage.config import StowSender

TOKEN_PREFIX = "sha256$"  # noqa: S105 - what a kept one begins with


class StowAccessDenied(Exception):
    """Nobody that we know; `status` is 401 or 403, the text says what to do."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class StowAccess:
    """The senders of the settings."""

    def __init__(self, senders: Mapping[str, StowSender]) -> None:
        self._senders = senders

    def admit(self, authorization: str, address: str, certificates: frozenset[str]) -> str:
        """Return the name of the sender; raise NotAdmitted.

        `certificates`: what its client certificate is called (triage.config.Peer.certificates).
        """
        shown = _hash_header_token(authorization)
        near = [
            name
            for name, sender in self._senders.items()
            if _has_token(shown, sender) and (_has_certificate(certificates, sender))
        ]
        if not near and not shown:
            raise StowAccessDenied(
                HTTPStatus.UNAUTHORIZED, "no token: send Authorization: Bearer TOKEN"
            )
        if not near:
            raise StowAccessDenied(
                HTTPStatus.UNAUTHORIZED,
                "not a token that is known, or not with its certificate: `triage token` makes one "
                "for receiver.stow.senders",
            )
        for name in near:
            if is_within(address, self._senders[name].addresses):
                return name
        raise StowAccessDenied(HTTPStatus.FORBIDDEN, f"{near[0]!r} is not known at this address")


def hash_token(token: str) -> str:
    """Return what the settings keep of a token."""
    return TOKEN_PREFIX + hashlib.sha256(token.encode()).hexdigest()


def _hash_header_token(authorization: str) -> str:
    """Return what would be kept of the token of a header; empty where it has none."""
    scheme, _, token = authorization.partition(" ")
    return hash_token(token.strip()) if scheme.lower() == "bearer" and token.strip() else ""


def _has_token(shown: str, sender: StowSender) -> bool:
    return sender.token is None or hmac.compare_digest(shown, sender.token)


def _has_certificate(certificates: frozenset[str], sender: StowSender) -> bool:
    return not sender.certificates or bool(certificates & set(sender.certificates))
