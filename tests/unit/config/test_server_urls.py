"""Redis and PostgreSQL beyond this machine use TLS, or the settings say that they do not."""

import pytest
from pydantic import ValidationError

from triage.config import Settings
from triage.config.server_urls import is_readable_on_the_way


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis:6379/0",
        "redis://:hush@10.1.2.3",
        "postgresql+psycopg://u:hush@db.example/ledger",
        "postgresql+psycopg://u@db/ledger?sslmode=prefer",
        "postgresql+psycopg://u@db/ledger?sslmode=disable",
        "postgresql+psycopg://u@/ledger?host=db.example",
    ],
)
def test_a_server_on_another_machine_is_readable_on_the_way(url: str) -> None:
    assert is_readable_on_the_way(url)
    setting = "redis_url" if url.startswith("redis") else "ledger"
    with pytest.raises(ValidationError, match=rf"without_tls: \[{setting}\]") as error:
        Settings.model_validate({setting: url})
    assert "hush" not in error.value.errors()[0]["msg"]
    permitted = Settings.model_validate({setting: url, "without_tls": [setting]})
    assert getattr(permitted, setting) == url


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0",
        "redis://[::1]:6379/0",
        "rediss://redis:6379/0",
        "unix:///run/redis.sock",
        "postgresql+psycopg://localhost/ledger",
        "postgresql+psycopg://postgres:@/ledger?host=/tmp/socket",
        "postgresql+psycopg:///ledger",
        "postgresql+psycopg://u@db.example/ledger?sslmode=verify-full",
        "postgresql+psycopg://u@db.example/ledger?sslmode=require",
    ],
)
def test_a_server_here_or_with_tls_is_not(url: str) -> None:
    assert not is_readable_on_the_way(url)
