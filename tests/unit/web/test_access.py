import asyncio
import base64
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.builders.logins import PASSWORD, basic
from tests.fakes import FakeClock
from triage.domain.audit import AuditEvent
from triage.web import access as access_module
from triage.web import login_pace
from triage.web.access import REPORT_EVERY_S, WebAccess, WebAccessDenied
from triage.web.login_throttle import FREE, LoginDelayed
from triage.web.passwords import hash_password

KEPT = hash_password(PASSWORD)
HERE = "10.0.0.1"


class FakePause:
    """Stands for asyncio.sleep: the clock goes on, the test does not wait."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.waits: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)
        self._clock.pass_s(seconds)


class RecordedAudit:
    """An audit trail in memory."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []

    def record(self, event: AuditEvent) -> None:
        self.events.append(event)


@pytest.fixture
def pause(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> FakePause:
    made = FakePause(clock)
    monkeypatch.setattr("triage.web.access.asyncio.sleep", made)
    return made


@pytest.fixture
def access(clock: FakeClock) -> WebAccess:
    return WebAccess({"anna": KEPT}, clock)


def test_right_credentials_are_admitted_repeatedly(access: WebAccess) -> None:
    assert access.admit(basic("anna", PASSWORD), HERE) == "anna"
    began = time.process_time()
    for _ in range(100):
        assert access.admit(basic("anna", PASSWORD, "bAsIc"), HERE) == "anna"
    assert time.process_time() - began < 1  # without scrypt


@pytest.mark.parametrize(
    "said",
    [
        "",
        "Basic",
        "Basic %%%",
        "Basic /w==",
        "Bearer abc",
        basic("anna", PASSWORD, "Digest"),
        "Basic " + base64.b64encode(b"anna").decode(),
    ],
)
def test_requests_without_credentials_are_refused_but_not_throttled(
    access: WebAccess, said: str
) -> None:
    for _ in range(FREE * 3):
        with pytest.raises(WebAccessDenied, match="log in with a user name"):
            access.admit(said, HERE)
    assert access.admit(basic("anna", PASSWORD), HERE) == "anna"


def test_after_several_failures_the_right_password_waits_too(
    access: WebAccess, clock: FakeClock
) -> None:
    access.admit(basic("anna", PASSWORD), HERE)
    for number in range(FREE + 1):
        with pytest.raises(WebAccessDenied):
            access.admit(basic("anna", f"guess {number}"), HERE)
    with pytest.raises(LoginDelayed, match="try again in 1 s") as waiting:
        access.admit(basic("anna", PASSWORD), HERE)
    assert waiting.value.seconds == 1
    assert access.admit(basic("anna", PASSWORD), "10.0.0.2") == "anna"
    clock.pass_s(1)
    assert access.admit(basic("anna", PASSWORD), HERE) == "anna"


def test_concurrent_guesses_are_throttled(access: WebAccess) -> None:
    def guess(number: int) -> type[Exception]:
        try:
            access.admit(basic("anna", f"guess {number}"), HERE)
        except (WebAccessDenied, LoginDelayed) as error:
            return type(error)
        raise AssertionError

    with ThreadPoolExecutor(16) as threads:
        answers = [*threads.map(guess, range(32))]
    assert answers.count(WebAccessDenied) == FREE + 1


def test_an_unknown_name_gets_the_same_answer_in_the_same_time(access: WebAccess) -> None:
    told, took = [], []
    for name in ("anna", "nobody"):
        began = time.perf_counter()
        with pytest.raises(WebAccessDenied) as error:
            access.admit(basic(name, "wrong"), HERE)
        took.append(time.perf_counter() - began)
        told.append(str(error.value))
    assert told[0] == told[1]
    assert 0.3 < took[0] / took[1] < 3


def test_an_unknown_name_is_not_logged(
    access: WebAccess, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WebAccessDenied):
        access.admit(basic("my password", "oops"), HERE)
    logged = "".join(capsys.readouterr())
    assert "login refused" in logged
    assert "my password" not in logged


def guess_in_turn(access: WebAccess, count: int) -> list[type[Exception]]:
    """Return what each guess of a name met, each from an address of another network."""

    async def guess() -> list[type[Exception]]:
        met: list[type[Exception]] = []
        for number in range(count):
            try:
                await access.admit_in_turn(basic("anna", f"guess {number}"), f"10.0.{number}.1")
            except (WebAccessDenied, LoginDelayed) as error:
                met.append(type(error))
        return met

    return asyncio.run(guess())


def test_guesses_of_one_name_from_many_networks_are_spaced(
    access: WebAccess, pause: FakePause
) -> None:
    assert guess_in_turn(access, 48) == [WebAccessDenied] * 48
    assert sum(pause.waits) >= (48 - login_pace.FREE - 1) * login_pace.SPACE_S
    pause.waits.clear()
    right = access.admit_in_turn(basic("anna", PASSWORD), "10.1.1.1")
    assert asyncio.run(right) == "anna"  # later, and not locked out
    assert sum(pause.waits) <= login_pace.SPACE_S
    pause.waits.clear()
    again = access.admit_in_turn(basic("anna", PASSWORD), "10.1.1.1")
    assert asyncio.run(again) == "anna"
    assert not pause.waits  # a peer that has logged in does not wait


def test_the_addresses_of_one_ipv6_network_share_their_failures(access: WebAccess) -> None:
    met = []
    for number in range(FREE + 3):
        try:
            access.admit(basic("anna", "wrong"), f"2001:db8::{number:x}")
        except (WebAccessDenied, LoginDelayed) as error:
            met.append(type(error))
    assert met == [WebAccessDenied] * (FREE + 1) + [LoginDelayed] * 2


def test_pending_checks_are_capped_for_each_network(clock: FakeClock) -> None:
    pace = login_pace.LoginPace(clock)
    with ExitStack() as pending:
        for _ in range(login_pace.PENDING_OF_NETWORK_MAX):
            assert pending.enter_context(pace.reserve("anna", "10.0.0.0/24")) == 0
        with pytest.raises(LoginDelayed):
            pending.enter_context(pace.reserve("ben", "10.0.0.0/24"))
        pending.enter_context(pace.reserve("ben", "10.0.1.0/24"))
    with pace.reserve("ben", "10.0.0.0/24"):
        pass


def test_failures_are_counted_in_one_report_a_minute(
    clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = RecordedAudit()
    access = WebAccess({"anna": KEPT}, clock, audit)
    for _ in range(FREE):
        with pytest.raises(WebAccessDenied):
            access.admit(basic("anna", "wrong"), HERE)
    assert len(audit.events) == 1
    clock.pass_s(REPORT_EVERY_S)
    with pytest.raises(WebAccessDenied):
        access.admit(basic("anna", "wrong"), HERE)
    assert len(audit.events) == 2
    assert f"({FREE} times)" in audit.events[1].description
    assert capsys.readouterr().out.count("login refused") == 2


def test_failures_from_endless_addresses_are_all_reported_in_bounded_memory(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_module, "REPORTED_MOST", 3)
    audit = RecordedAudit()
    access = WebAccess({"anna": KEPT}, clock, audit)
    for number in range(6):
        for _ in range(2):  # the second is counted, and not reported at once
            with pytest.raises(WebAccessDenied):
                access.admit(basic("anna", "wrong"), f"10.0.0.{number}")
    assert len(access._unreported) == 3
    assert len(audit.events) == 6 + 3
