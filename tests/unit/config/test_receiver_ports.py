"""Ports without TLS, and titles that anybody could use."""

import pytest
from pydantic import ValidationError

from triage.config import ReceiverSettings

TLS = {"certificate": "a.pem", "key": "a.key"}


def test_without_a_port_something_else_must_receive() -> None:
    with pytest.raises(ValidationError, match="set tls, stow or folder"):
        ReceiverSettings.model_validate({"port": None})
    assert ReceiverSettings.model_validate({"port": None, "tls": TLS}).port is None


def test_a_peer_must_use_tls_only_if_there_is_a_port_with_tls() -> None:
    peers = {"mr1": {"ae_titles": ["MR1"], "tls": True}}
    with pytest.raises(ValidationError, match=r"peers\.mr1\.tls"):
        ReceiverSettings.model_validate({"peers": peers})


def test_titles_that_may_send_from_anywhere_are_listed() -> None:
    peers = {
        "anywhere": {"ae_titles": ["MR1"]},
        "there": {"ae_titles": ["MR2"], "addresses": ["10.0.0.1/32"]},
    }
    settings = {"calling": ["PACS"], "peers": peers}
    there = ReceiverSettings.model_validate({"host": "10.0.0.2", **settings})
    assert there.list_open_titles() == ("PACS", "MR1")
    assert ReceiverSettings.model_validate(settings).list_open_titles() == ()
