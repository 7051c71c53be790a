"""Audit messages at a real syslog server, rsyslog, over TLS and TCP."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from tests.builders.audit_events import EVENTS, SCHEMA
from tests.fakes import FakeClock
from tests.integration.certificates import Authority, Signed
from tests.integration.servers import HOST, wait_until
from tests.integration.syslog import SyslogRepository, rsyslog
from triage.audit.message import BOM, Author
from triage.audit.sender import Sender
from triage.audit.spool import FileTrail
from triage.audit.syslog import Syslog
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
def trail(tmp_path: Path, clock: FakeClock) -> FileTrail:
    return FileTrail(tmp_path / "audit", Author("triage-1", "hospital", "TRIAGE"), clock, 10_000)


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


def record_all(trail: FileTrail, clock: FakeClock) -> int:
    for event in EVENTS.values():
        trail.record(event)
        clock.pass_s(0.01)
    return len(EVENTS)


def test_every_kind_of_message_arrives_whole_over_tls(
    trail: FileTrail,
    clock: FakeClock,
    over_tls: SyslogRepository,
    authority: Authority,
    ours: Signed,
) -> None:
    count = record_all(trail, clock)
    waiting = [message for _, message in trail.oldest(count)]
    transport = Syslog(settings(over_tls.port, authority, ours))
    assert transport.check().endswith("answers over TLSv1.3")
    assert Sender(trail, transport).send_waiting() == count
    over_tls.has(count)
    assert over_tls.lines() == waiting
    for line in over_tls.lines():
        SCHEMA.assertValid(etree.fromstring(line.partition(BOM)[2]))
    said = {tuple(line.split()[2:]) for line in over_tls.lines("parsed")}
    assert said == {(b"cmr-triage", str(Author("").process_id).encode(), b"DICOM+RFC3881")}
    assert {line.split()[0] for line in over_tls.lines("parsed")} == {b"85", b"84"}


def test_its_certificate_must_be_its_own(
    over_tls: SyslogRepository, authority: Authority, ours: Signed, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")
    for wrong, why in (
        (settings(over_tls.port, other, ours), "certificate"),
        (settings(over_tls.port, authority, ours, "elsewhere.example"), "Hostname mismatch"),
    ):
        with pytest.raises(AuditUnavailable, match=why):
            Syslog(wrong).send([b"<85>1 - - - - - -"])
    Syslog(settings(over_tls.port, authority, ours, "audit.example")).send([b"<85>1 - - - - - - x"])
    over_tls.has(1)


def test_one_that_wants_our_certificate_does_not_get_messages_without(
    trail: FileTrail, over_tls: SyslogRepository, authority: Authority, ours: Signed
) -> None:
    trail.record(EVENTS["sent"])
    with pytest.raises(AuditUnavailable):
        Sender(trail, Syslog(settings(over_tls.port, authority, None))).send_waiting()
    assert trail.waiting() == 1
    assert over_tls.lines() == []
    Sender(trail, Syslog(settings(over_tls.port, authority, ours))).send_waiting()
    over_tls.has(1)


def test_while_it_is_away_messages_wait_and_come_in_order(
    trail: FileTrail,
    clock: FakeClock,
    over_tls: SyslogRepository,
    authority: Authority,
    ours: Signed,
) -> None:
    sender = Sender(trail, Syslog(settings(over_tls.port, authority, ours)))
    over_tls.kill()
    for number in range(450):
        trail.record(audit.logged_in(f"user{number:04d}", ""))
        clock.pass_s(0.001)
    with pytest.raises(AuditUnavailable, match="refused"):
        sender.send_waiting()
    assert trail.waiting() == 450
    over_tls.start()
    assert sender.send_waiting() == 450
    over_tls.has(450)
    users = [line.partition(b'UserID="user')[2][:4] for line in over_tls.lines()]
    assert users == [b"%04d" % number for number in range(450)]


def test_killed_again_and_again_it_has_everything_in_the_end(
    trail: FileTrail,
    clock: FakeClock,
    over_tls: SyslogRepository,
    authority: Authority,
    ours: Signed,
) -> None:
    sender = Sender(trail, Syslog(settings(over_tls.port, authority, ours)))
    sender.start()
    for number in range(200):
        trail.record(audit.logged_in(f"user{number:04d}", ""))
        clock.pass_s(0.001)
        if number % 50 == 25:
            over_tls.kill()
            over_tls.start()
    wait_until(lambda: trail.waiting() == 0, 60, "sending")
    sender.end(5)
    told = {line.partition(b'UserID="user')[2][:4] for line in over_tls.lines()}
    assert told >= {b"%04d" % number for number in range(200)}


def test_plain_tcp_to_a_relay_on_this_machine(
    trail: FileTrail, clock: FakeClock, tmp_path: Path, authority: Authority, theirs: Signed
) -> None:
    with rsyslog(tmp_path / "rsyslog", authority, theirs, None) as relay:
        count = record_all(trail, clock)
        waiting = [message for _, message in trail.oldest(count)]
        transport = Syslog(AuditSyslogSettings(host=HOST, port=relay.port, tls=False))
        assert Sender(trail, transport).send_waiting() == count
        relay.has(count)
        assert relay.lines() == waiting


def test_files_that_do_not_fit_are_named(tmp_path: Path, ours: Signed, theirs: Signed) -> None:
    with pytest.raises(ConfigurationError, match="trusted"):
        Syslog(AuditSyslogSettings(host=HOST, trusted=tmp_path / "none.pem"))
    wrong = AuditSyslogSettings(host=HOST, certificate=ours.certificate, key=theirs.key)
    with pytest.raises(ConfigurationError, match="certificate and key"):
        Syslog(wrong)
