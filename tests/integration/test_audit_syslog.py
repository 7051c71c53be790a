"""Audit messages at a real syslog server, rsyslog, over TLS and TCP."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from tests.builders.audit_events import EVENTS, SCHEMA
from tests.fakes import FakeClock
from tests.integration.certificates import Authority, Signed
from tests.integration.syslog import SyslogRepository, rsyslog
from tests.waiting import HOST, wait_until
from triage.audit.message import BOM, AuditAuthor
from triage.audit.sender import AuditSender
from triage.audit.spool import SpooledAuditTrail
from triage.audit.syslog import SyslogTransport
from triage.config import AuditSyslogSettings
from triage.domain import audit
from triage.domain.errors import AuditUnavailable, ConfigurationError


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"), "authority")


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Signed:
    return authority.sign("triage")


@pytest.fixture(scope="module")
def theirs(authority: Authority) -> Signed:
    return authority.sign("audit")


@pytest.fixture
def over_tls(tmp_path: Path, authority: Authority, theirs: Signed) -> Iterator[SyslogRepository]:
    with rsyslog(tmp_path / "rsyslog", authority, theirs, "x509/name") as running:
        yield running


@pytest.fixture
def trail(tmp_path: Path, clock: FakeClock) -> SpooledAuditTrail:
    return SpooledAuditTrail(
        tmp_path / "audit", AuditAuthor("triage-1", "hospital", "TRIAGE"), clock, 10_000
    )


def settings(
    port: int, authority: Authority, ours: Signed | None, name: str | None = None
) -> AuditSyslogSettings:
    return AuditSyslogSettings(
        host=HOST,
        port=port,
        trusted=authority.certificate,
        certificate=ours.certificate if ours else None,
        key=ours.key if ours else None,
        name=name,
        timeout_s=5,
    )


def record_all(trail: SpooledAuditTrail, clock: FakeClock) -> int:
    for event in EVENTS.values():
        trail.record(event)
        clock.pass_s(0.01)
    return len(EVENTS)


def test_every_kind_of_message_arrives_whole_over_tls(
    trail: SpooledAuditTrail,
    clock: FakeClock,
    over_tls: SyslogRepository,
    authority: Authority,
    ours: Signed,
) -> None:
    count = record_all(trail, clock)
    waiting = [message for _, message in trail.oldest(count)]
    transport = SyslogTransport(settings(over_tls.port, authority, ours))
    assert transport.check().endswith("answers over TLSv1.3")
    assert AuditSender(trail, transport).send_waiting() == count
    over_tls.has(count)
    assert over_tls.lines() == waiting
    for line in over_tls.lines():
        SCHEMA.assertValid(etree.fromstring(line.partition(BOM)[2]))
    headers = {tuple(line.split()[2:]) for line in over_tls.lines("parsed")}
    assert headers == {(b"cmr-triage", str(AuditAuthor("").process_id).encode(), b"DICOM+RFC3881")}
    assert {line.split()[0] for line in over_tls.lines("parsed")} == {b"85", b"84"}


def test_the_certificate_and_name_of_the_repository_are_verified(
    over_tls: SyslogRepository, authority: Authority, ours: Signed, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")
    for wrong, why in (
        (settings(over_tls.port, other, ours), "certificate"),
        (settings(over_tls.port, authority, ours, "elsewhere.example"), "Hostname mismatch"),
    ):
        with pytest.raises(AuditUnavailable, match=why):
            SyslogTransport(wrong).send([b"<85>1 - - - - - -"])
    SyslogTransport(settings(over_tls.port, authority, ours, "audit.example")).send(
        [b"<85>1 - - - - - - x"]
    )
    over_tls.has(1)


def test_a_repository_that_requires_our_certificate_gets_nothing_without_it(
    trail: SpooledAuditTrail, over_tls: SyslogRepository, authority: Authority, ours: Signed
) -> None:
    trail.record(EVENTS["sent"])
    with pytest.raises(AuditUnavailable):
        AuditSender(trail, SyslogTransport(settings(over_tls.port, authority, None))).send_waiting()
    assert trail.waiting() == 1
    assert over_tls.lines() == []
    AuditSender(trail, SyslogTransport(settings(over_tls.port, authority, ours))).send_waiting()
    over_tls.has(1)


def test_messages_wait_while_the_repository_is_down_and_arrive_in_order(
    trail: SpooledAuditTrail,
    clock: FakeClock,
    over_tls: SyslogRepository,
    authority: Authority,
    ours: Signed,
) -> None:
    sender = AuditSender(trail, SyslogTransport(settings(over_tls.port, authority, ours)))
    over_tls.kill()
    for number in range(450):
        trail.record(audit.build_login_event(f"user{number:04d}", ""))
        clock.pass_s(0.001)
    with pytest.raises(AuditUnavailable, match="refused"):
        sender.send_waiting()
    assert trail.waiting() == 450
    over_tls.start()
    assert sender.send_waiting() == 450
    over_tls.has(450)
    users = [line.partition(b'UserID="user')[2][:4] for line in over_tls.lines()]
    assert users == [b"%04d" % number for number in range(450)]


def test_a_repository_that_is_killed_repeatedly_has_every_message_at_last(
    trail: SpooledAuditTrail,
    clock: FakeClock,
    over_tls: SyslogRepository,
    authority: Authority,
    ours: Signed,
) -> None:
    sender = AuditSender(trail, SyslogTransport(settings(over_tls.port, authority, ours)))
    sender.start()
    for number in range(200):
        trail.record(audit.build_login_event(f"user{number:04d}", ""))
        clock.pass_s(0.001)
        if number % 50 == 25:
            over_tls.kill()
            over_tls.start()
    wait_until(lambda: trail.waiting() == 0, 60, "sending")
    sender.end(5)
    expected = {b"%04d" % number for number in range(200)}

    def missing() -> set[bytes]:
        return expected - {line.partition(b'UserID="user')[2][:4] for line in over_tls.lines()}

    wait_until(lambda: not missing(), 60, "the repository to write what it received")


def test_plain_tcp_to_a_relay_on_this_machine(
    trail: SpooledAuditTrail, clock: FakeClock, tmp_path: Path, authority: Authority, theirs: Signed
) -> None:
    with rsyslog(tmp_path / "rsyslog", authority, theirs, None) as relay:
        count = record_all(trail, clock)
        waiting = [message for _, message in trail.oldest(count)]
        transport = SyslogTransport(AuditSyslogSettings(host=HOST, port=relay.port, tls=False))
        assert AuditSender(trail, transport).send_waiting() == count
        relay.has(count)
        assert relay.lines() == waiting


def test_unusable_certificate_files_are_named_in_the_error(
    tmp_path: Path, ours: Signed, theirs: Signed
) -> None:
    with pytest.raises(ConfigurationError, match="trusted"):
        SyslogTransport(AuditSyslogSettings(host=HOST, trusted=tmp_path / "none.pem"))
    wrong = AuditSyslogSettings(host=HOST, certificate=ours.certificate, key=theirs.key)
    with pytest.raises(ConfigurationError, match="certificate and key"):
        SyslogTransport(wrong)
