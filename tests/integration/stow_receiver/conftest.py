"""A STOW-RS receiver of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from requests import Session

from tests.integration.stow import ListeningStow, end_stow, start_stow


@pytest.fixture(autouse=True)
def _sessions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the connections that dicomweb-client leaves open."""
    opened: list[Session] = []
    begin = Session.__init__

    def remembering(self: Session) -> None:
        begin(self)
        opened.append(self)

    monkeypatch.setattr(Session, "__init__", remembering)
    yield
    for session in opened:
        session.close()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[ListeningStow]:
    running = start_stow(tmp_path, {}, instance_bytes=100_000, idle_s=2.0, artim_s=1.0)
    yield running
    end_stow(running)
