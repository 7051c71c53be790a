"""The webhook destination, against a receiver that verifies signatures with another library."""

import hashlib
import hmac
import ssl
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.builders.assessments import mixed
from tests.builders.reportings import reporting
from tests.integration.certificates import EXPIRED_DAYS, Authority, Signed
from tests.integration.hooks import SECRET, Hook, hook
from triage.cli.demo_site import find_free_port
from triage.destinations.webhook import WebhookDestination, WebhookDestinationSettings
from triage.domain.delivery import Product
from triage.domain.errors import (
    ConfigurationError,
    DeliveryFailed,
    DeliveryRefused,
    DestinationUnreachable,
)
from triage.reports import summary


@pytest.fixture(scope="module")
def product() -> Product:
    return summary.build(reporting(mixed()))


def settings(url: str, **more: Any) -> WebhookDestinationSettings:
    values = {"name": "hook", "kind": "webhook", "url": url, "secret": SECRET, "timeout_s": 2}
    return WebhookDestinationSettings.model_validate(values | more)


def open_webhook(ours: Hook, **more: Any) -> WebhookDestination:
    return WebhookDestination("CMRTRIAGE", settings(ours.url, **more))


def test_the_summary_arrives_with_the_uid_of_the_product_as_key(product: Product) -> None:
    with hook() as ours:
        assert open_webhook(ours).deliver(product).answer == "HTTP 204"
    ((uid, received),) = ours.summaries.items()
    assert uid == product.sop_instance_uid
    assert received["flag"] == mixed().flag
    ((_, headers, body),) = ours.requests
    assert body == product.content
    assert (headers["Content-Type"], headers["Webhook-Id"]) == ("application/json", uid)


def test_a_second_attempt_has_the_same_key_and_a_new_time(
    product: Product,
) -> None:
    began = datetime.now(UTC) - timedelta(seconds=30)
    with hook() as ours:
        for seconds in (0, 20):
            at = began + timedelta(seconds=seconds)
            WebhookDestination("A", settings(ours.url), lambda at=at: at).deliver(product)  # type: ignore[misc]
    first, second = (headers for _, headers, _ in ours.requests)
    assert first["Idempotency-Key"] == second["Idempotency-Key"]
    assert int(second["Webhook-Timestamp"]) - int(first["Webhook-Timestamp"]) == 20
    assert first["Webhook-Signature"] != second["Webhook-Signature"]
    assert len(ours.summaries) == 1


def test_the_signature_follows_the_specification(product: Product) -> None:
    with hook() as ours:
        open_webhook(ours).deliver(product)
    ((_, headers, body),) = ours.requests
    signed = f"{product.sop_instance_uid}.{headers['Webhook-Timestamp']}.".encode() + body
    key = b64decode(SECRET.removeprefix("whsec_"))
    expected = b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["Webhook-Signature"] == f"v1,{expected}"


def test_a_replayed_request_is_rejected(product: Product) -> None:
    late = datetime.now(UTC) - timedelta(minutes=6)
    with hook() as ours, pytest.raises(DeliveryRefused, match="HTTP 401"):
        WebhookDestination("A", settings(ours.url), lambda: late).deliver(product)
    assert (ours.forged, ours.summaries) == (1, {})


def test_a_signature_with_another_secret_is_rejected(product: Product) -> None:
    with hook(secret=b64encode(bytes(32)).decode()) as ours, pytest.raises(DeliveryRefused):
        open_webhook(ours).deliver(product)
    assert ours.forged == 1


@pytest.mark.parametrize("code", [200, 201, 202, 204])
def test_2xx_counts_as_delivered(code: int, product: Product) -> None:
    with hook(codes=[code]) as ours:
        assert open_webhook(ours).deliver(product).answer == f"HTTP {code}"


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 413, 415, 422])
def test_4xx_is_final(code: int, product: Product) -> None:
    with hook(codes=[code]) as ours, pytest.raises(DeliveryRefused, match=f"HTTP {code}"):
        open_webhook(ours).deliver(product)


@pytest.mark.parametrize("code", [301, 302, 307, 308, 408, 409, 425, 429, 500, 501, 502, 503, 504])
def test_every_other_status_is_retried(code: int, product: Product) -> None:
    with hook(codes=[code]) as ours, pytest.raises(DeliveryFailed, match=f"HTTP {code}") as error:
        open_webhook(ours).deliver(product)
    assert not isinstance(error.value, DeliveryRefused)
    assert isinstance(error.value, DestinationUnreachable) == (code in {429, 502, 503, 504})
    assert len(ours.requests) == 1  # no redirection is followed


def test_a_service_states_when_to_come_again(product: Product) -> None:
    dates = {"Date": "Sun, 01 Mar 2026 12:00:00 GMT"}  # of a service whose clock is wrong
    later = {"Retry-After": "Sun, 01 Mar 2026 12:01:30 GMT"}
    asked: dict[float, dict[str, str]] = {30: {"Retry-After": "30"}, 90: dates | later, 0: {}}
    for seconds, headers in asked.items():
        for code in (429, 503):
            with (
                hook(codes=[code], headers=headers) as ours,
                pytest.raises(DestinationUnreachable) as error,
            ):
                open_webhook(ours).deliver(product)
            assert error.value.after_s == seconds


def test_a_service_that_does_not_answer_is_unreachable(product: Product) -> None:
    with pytest.raises(DestinationUnreachable, match="gives no answer"):
        WebhookDestination("A", settings(f"http://127.0.0.1:{find_free_port()}/")).deliver(product)
    for host in ("a" * 300, "no-such-host.invalid"):
        with pytest.raises(DestinationUnreachable, match=host):
            WebhookDestination("A", settings(f"https://{host}/")).deliver(product)
    with hook(delay_s=1) as ours, pytest.raises(DestinationUnreachable, match="gives no answer"):
        open_webhook(ours, timeout_s=0.2).deliver(product)


def test_an_echo_posts_nothing_and_accepts_any_answer() -> None:
    with hook(codes=[405, 503]) as ours:
        assert "HTTP 405" in open_webhook(ours).echo().answer
        with pytest.raises(DestinationUnreachable, match="HTTP 503"):
            open_webhook(ours).echo()
    assert [(method, body) for method, _, body in ours.requests] == [("OPTIONS", b"")] * 2


# -- TLS


class WebhookWorld:
    """Certificate authorities, and certificates signed by them."""

    def __init__(self, folder: Path) -> None:
        self.ours, theirs = Authority(folder, "ours"), Authority(folder, "theirs")
        self.server = self.ours.sign("server")
        self.expired = self.ours.sign("late", EXPIRED_DAYS)
        self.stranger = theirs.sign("server")
        self.client = self.ours.sign("triage")

    def listening(self, server: Signed, *, asks: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server.certificate, server.key)
        if asks:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ours.certificate)
        return context


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> WebhookWorld:
    return WebhookWorld(tmp_path_factory.mktemp("certificates"))


def test_a_summary_arrives_over_tls(world: WebhookWorld, product: Product) -> None:
    with hook(world.listening(world.server)) as ours:
        assert open_webhook(ours, trusted=world.ours.certificate).deliver(product)
    assert len(ours.summaries) == 1


@pytest.mark.parametrize("server", ["expired", "stranger"])
def test_nothing_is_sent_to_a_service_with_an_invalid_certificate(
    server: str, world: WebhookWorld, product: Product
) -> None:
    with (
        hook(world.listening(getattr(world, server))) as ours,
        pytest.raises(DestinationUnreachable, match="certificate"),
    ):
        open_webhook(ours, trusted=world.ours.certificate).deliver(product)
    assert ours.requests == []


def test_nothing_is_sent_to_a_service_with_the_certificate_of_another_host(
    world: WebhookWorld, product: Product
) -> None:
    with hook(world.listening(world.server)) as ours:
        elsewhere = ours.url.replace("127.0.0.1", "localhost")
        with pytest.raises(DestinationUnreachable, match="certificate"):
            WebhookDestination("A", settings(elsewhere, trusted=world.ours.certificate)).deliver(
                product
            )
    assert ours.requests == []


def test_nothing_is_sent_to_a_service_that_the_system_does_not_trust(
    world: WebhookWorld, product: Product
) -> None:
    with (
        hook(world.listening(world.server)) as ours,
        pytest.raises(DestinationUnreachable, match="certificate"),
    ):
        open_webhook(ours).deliver(product)


def test_our_certificate_is_sent_to_a_service_that_requires_one(
    world: WebhookWorld, product: Product
) -> None:
    with hook(world.listening(world.server, asks=True)) as ours:
        with pytest.raises(DeliveryFailed):
            open_webhook(ours, trusted=world.ours.certificate).deliver(product)
        mine = {"certificate": world.client.certificate, "key": world.client.key}
        open_webhook(ours, trusted=world.ours.certificate, **mine).deliver(product)
    assert len(ours.summaries) == 1


# -- the files and the secret


def test_the_secret_can_be_in_a_file(tmp_path: Path, product: Product) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    with hook() as ours:
        open_webhook(ours, secret=None, secret_file=tmp_path / "secret").deliver(product)
    assert len(ours.summaries) == 1


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"secret": "hush"}, "secret of destination hook must be base64 of 24 to 64 bytes"),
        ({"secret": "whsec_aHVzaA=="}, "must be base64 of 24 to 64 bytes"),
        ({"secret": None, "secret_file": "/nowhere/secret"}, "cannot read secret_file /nowhere"),
        ({"trusted": "/dev/null"}, "trusted: /dev/null holds no certificates"),
        ({"certificate": "/dev/null", "key": "/dev/null"}, "are not a pair of PEM files"),
    ],
)
def test_unusable_files_and_secrets_are_errors_at_the_start(
    more: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigurationError, match=expected) as error:
        WebhookDestination("A", settings("https://h/p", **more))
    assert "hush" not in str(error.value)
    assert "aHVzaA" not in str(error.value)
