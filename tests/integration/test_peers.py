import sys
from pathlib import Path

import pytest

from tests.peers import peer


def test_program_and_file_are_found(tmp_path: Path) -> None:
    jar = tmp_path / "judge.jar"
    jar.touch()
    assert peer(str(jar)) == str(jar)
    assert peer(sys.executable) == sys.executable


def test_missing_program_skips_on_a_user_s_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIAGE_REQUIRE_PEERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="missing: no-such-judge"):
        peer("no-such-judge")


def test_missing_program_fails_where_judges_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGE_REQUIRE_PEERS", "1")
    with pytest.raises(pytest.fail.Exception, match="TRIAGE_REQUIRE_PEERS=1"):
        peer("no-such-judge")
