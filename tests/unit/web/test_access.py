import base64
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.builders.logins import PASSWORD, basic
from tests.fakes import FakeClock
from triage.web.access import LoginDelayed, WebAccess, WebAccessDenied
from triage.web.login_throttle import FREE
from triage.web.passwords import hash_password

KEPT = hash_password(PASSWORD)
HERE = "10.0.0.1"


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
