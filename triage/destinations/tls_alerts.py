"""Alerts with which a peer ends a TLS connection (RFC 8446 6), as the module `ssl` reports them.

OpenSSL gives each alert that it receives an error of its own, whose name is `ssl.SSLError.reason`.
"""

import ssl
from collections.abc import Mapping
from types import MappingProxyType

#: What a peer states by an alert, by the name of the error that OpenSSL makes of it.
ALERTS: Mapping[str, str] = MappingProxyType(
    {
        "SSLV3_ALERT_BAD_CERTIFICATE": "bad certificate",
        "SSLV3_ALERT_BAD_RECORD_MAC": "bad record mac",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED": "certificate expired",
        "SSLV3_ALERT_CERTIFICATE_REVOKED": "certificate revoked",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "certificate unknown",
        "SSLV3_ALERT_DECOMPRESSION_FAILURE": "decompression failure",
        "SSLV3_ALERT_HANDSHAKE_FAILURE": "handshake failure",
        "SSLV3_ALERT_ILLEGAL_PARAMETER": "illegal parameter",
        "SSLV3_ALERT_NO_CERTIFICATE": "no certificate",
        "SSLV3_ALERT_UNEXPECTED_MESSAGE": "unexpected message",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "unsupported certificate",
        "TLSV13_ALERT_CERTIFICATE_REQUIRED": "certificate required",
        "TLSV13_ALERT_MISSING_EXTENSION": "missing extension",
        "TLSV1_ALERT_ACCESS_DENIED": "access denied",
        "TLSV1_ALERT_DECODE_ERROR": "decode error",
        "TLSV1_ALERT_DECRYPTION_FAILED": "decryption failed",
        "TLSV1_ALERT_DECRYPT_ERROR": "decrypt error",
        "TLSV1_ALERT_EXPORT_RESTRICTION": "export restriction",
        "TLSV1_ALERT_INAPPROPRIATE_FALLBACK": "inappropriate fallback",
        "TLSV1_ALERT_INSUFFICIENT_SECURITY": "insufficient security",
        "TLSV1_ALERT_INTERNAL_ERROR": "internal error",
        "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": "no application protocol",
        "TLSV1_ALERT_NO_RENEGOTIATION": "no renegotiation",
        "TLSV1_ALERT_PROTOCOL_VERSION": "protocol version",
        "TLSV1_ALERT_RECORD_OVERFLOW": "record overflow",
        "TLSV1_ALERT_UNKNOWN_CA": "unknown ca",
        "TLSV1_ALERT_UNKNOWN_PSK_IDENTITY": "unknown psk identity",
        "TLSV1_ALERT_USER_CANCELLED": "user cancelled",
        "TLSV1_BAD_CERTIFICATE_HASH_VALUE": "bad certificate hash value",
        "TLSV1_BAD_CERTIFICATE_STATUS_RESPONSE": "bad certificate status response",
        "TLSV1_CERTIFICATE_UNOBTAINABLE": "certificate unobtainable",
        "TLSV1_UNRECOGNIZED_NAME": "unrecognized name",
        "TLSV1_UNSUPPORTED_EXTENSION": "unsupported extension",
    }
)


def is_alert(error: ssl.SSLError) -> bool:
    """Return whether the peer ended the connection with an alert."""
    return error.reason in ALERTS


def describe_tls_error(error: ssl.SSLError) -> str:
    """Return what is wrong with the certificate, or the alert of the peer, or the error."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if is_alert(error):
        return f"it ended the handshake: {ALERTS[error.reason]}"
    return (error.reason or "the handshake failed").replace("_", " ").lower()
