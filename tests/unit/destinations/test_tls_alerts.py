"""What a peer states by an alert, by the names that OpenSSL gives its errors."""

import _ssl
import ssl

import pytest

from triage.destinations.tls_alerts import ALERTS, describe_tls_error, is_alert

SSL_LIBRARY, FIRST_ALERT = 20, 1000  #: OpenSSL: ERR_LIB_SSL, SSL_AD_REASON_OFFSET


def error(reason: str) -> ssl.SSLError:
    made = ssl.SSLError(1, f"[SSL: {reason}] words (_ssl.c:1007)")
    made.reason = reason
    return made


def test_every_alert_that_openssl_knows_is_in_the_table() -> None:
    names = _ssl.err_codes_to_names.items()
    alerts = {
        name
        for (library, number), name in names
        if library == SSL_LIBRARY and number >= FIRST_ALERT
    }
    assert len(alerts) > 25
    assert alerts <= {*ALERTS}


@pytest.mark.parametrize("reason", ALERTS)
def test_an_alert_is_described_by_its_name(reason: str) -> None:
    assert is_alert(error(reason))
    assert describe_tls_error(error(reason)) == f"it ended the handshake: {ALERTS[reason]}"


@pytest.mark.parametrize("reason", ["WRONG_VERSION_NUMBER", "NO_ALERT_IN_THIS_NAME", ""])
def test_any_other_error_is_no_alert(reason: str) -> None:
    assert not is_alert(error(reason))
    assert "it ended" not in describe_tls_error(error(reason))
