import pytest
from pydantic import ValidationError

from triage.config import AuditSettings, AuditSyslogSettings, Settings, load

REPOSITORY = {"host": "audit.example"}


def test_there_is_no_audit_trail_by_default() -> None:
    assert Settings().audit is None


def test_the_environment_can_set_it() -> None:
    audit = load(None, {"TRIAGE_AUDIT__SYSLOG__HOST": "audit.example"}).audit
    assert audit == AuditSettings(syslog=AuditSyslogSettings(host="audit.example"))


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({}, "file or syslog"),
        ({"file": "audit.log", "syslog": REPOSITORY}, "file or syslog"),
        ({"syslog": {**REPOSITORY, "tls": False}}, "readable on the"),
        ({"syslog": {"host": "127.0.0.1", "tls": False, "trusted": "ca.pem"}}, "only with tls"),
        ({"syslog": {**REPOSITORY, "certificate": "us.pem"}}, "both certificate and key"),
        ({"syslog": {"host": ""}}, "at least 1 character"),
        ({"file": "audit.log", "waiting_messages": 0}, "greater than or equal to 1"),
    ],
)
def test_contradictory_or_unprotected_settings_are_rejected(
    wrong: dict[str, object], why: str
) -> None:
    with pytest.raises(ValidationError, match=why):
        AuditSettings.model_validate(wrong)
