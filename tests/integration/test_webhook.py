"""A webhook, by a program that checks signatures with a library of its own, and by handshakes."""

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
from triage.config import WebhookDestination
from triage.destinations.webhook import WebhookSender
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


def settings(url: str, **more: Any) -> WebhookDestination:
    values = {"name": "hook", "kind": "webhook", "url": url, "secret": SECRET, "timeout_s": 2}
    return WebhookDestination.model_validate(values | more)


def opened(ours: Hook, **more: Any) -> WebhookSender:
    return WebhookSender("CMRTRIAGE", settings(ours.url, **more))


def test_it_is_told_what_the_summary_says_under_the_products_uid(product: Product) -> None:
    with hook() as ours:
        assert opened(ours).deliver(product).answer == "HTTP 204"
    ((uid, said),) = ours.told.items()
    assert uid == product.sop_instance_uid
    assert said["flag"] == mixed().flag
    ((_, headers, body),) = ours.requests
    assert body == product.content
    assert (headers["Content-Type"], headers["Webhook-Id"]) == ("application/json", uid)


def test_a_second_try_of_one_product_has_its_key_again_and_a_time_of_its_own(
    product: Product,
) -> None:
    began = datetime.now(UTC) - timedelta(seconds=30)
    with hook() as ours:
        for seconds in (0, 20):
            at = began + timedelta(seconds=seconds)
            WebhookSender("A", settings(ours.url), lambda at=at: at).deliver(product)  # type: ignore[misc]
    first, second = (headers for _, headers, _ in ours.requests)
    assert first["Idempotency-Key"] == second["Idempotency-Key"]
    assert int(second["Webhook-Timestamp"]) - int(first["Webhook-Timestamp"]) == 20
    assert first["Webhook-Signature"] != second["Webhook-Signature"]
    assert len(ours.told) == 1


def test_the_signature_is_what_the_specification_says(product: Product) -> None:
    with hook() as ours:
        opened(ours).deliver(product)
    ((_, headers, body),) = ours.requests
    signed = f"{product.sop_instance_uid}.{headers['Webhook-Timestamp']}.".encode() + body
    key = b64decode(SECRET.removeprefix("whsec_"))
    expected = b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["Webhook-Signature"] == f"v1,{expected}"


def test_what_was_overheard_is_no_use_later(product: Product) -> None:
    late = datetime.now(UTC) - timedelta(minutes=6)
    with hook() as ours, pytest.raises(DeliveryRefused, match="HTTP 401"):
        WebhookSender("A", settings(ours.url), lambda: late).deliver(product)
    assert (ours.forged, ours.told) == (1, {})


def test_another_secret_is_found_out(product: Product) -> None:
    with hook(secret=b64encode(bytes(32)).decode()) as ours, pytest.raises(DeliveryRefused):
        opened(ours).deliver(product)
    assert ours.forged == 1


@pytest.mark.parametrize("code", [200, 201, 202, 204])
def test_2xx_is_delivered(code: int, product: Product) -> None:
    with hook(codes=[code]) as ours:
        assert opened(ours).deliver(product).answer == f"HTTP {code}"


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 410, 413, 415, 422])
def test_what_4xx_says_is_final(code: int, product: Product) -> None:
    with hook(codes=[code]) as ours, pytest.raises(DeliveryRefused, match=f"HTTP {code}"):
        opened(ours).deliver(product)


@pytest.mark.parametrize("code", [301, 302, 307, 308, 408, 425, 429, 500, 501, 502, 503, 504])
def test_all_else_is_tried_again(code: int, product: Product) -> None:
    with hook(codes=[code]) as ours, pytest.raises(DeliveryFailed, match=f"HTTP {code}") as error:
        opened(ours).deliver(product)
    assert not isinstance(error.value, DeliveryRefused)
    assert isinstance(error.value, DestinationUnreachable) == (code in {429, 502, 503, 504})
    assert len(ours.requests) == 1  # no redirection is followed


def test_no_answer_is_silence(product: Product) -> None:
    with pytest.raises(DestinationUnreachable, match="gives no answer"):
        WebhookSender("A", settings(f"http://127.0.0.1:{find_free_port()}/")).deliver(product)
    for host in ("a" * 300, "no-such-host.invalid"):
        with pytest.raises(DestinationUnreachable, match=host):
            WebhookSender("A", settings(f"https://{host}/")).deliver(product)
    with hook(delay_s=1) as ours, pytest.raises(DestinationUnreachable, match="gives no answer"):
        opened(ours, timeout_s=0.2).deliver(product)


def test_an_echo_tells_nothing_and_whoever_answers_is_there() -> None:
    with hook(codes=[405, 503]) as ours:
        assert "HTTP 405" in opened(ours).echo().answer
        with pytest.raises(DestinationUnreachable, match="HTTP 503"):
            opened(ours).echo()
    assert [(method, body) for method, _, body in ours.requests] == [("OPTIONS", b"")] * 2


# -- TLS


class WebhookWorld:
    """Who signs for whom."""

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


def test_over_tls_it_is_told(world: WebhookWorld, product: Product) -> None:
    with hook(world.listening(world.server)) as ours:
        assert opened(ours, trusted=world.ours.certificate).deliver(product)
    assert len(ours.told) == 1


@pytest.mark.parametrize("who", ["expired", "stranger"])
def test_a_certificate_that_is_not_right_is_told_nothing(
    who: str, world: WebhookWorld, product: Product
) -> None:
    with (
        hook(world.listening(getattr(world, who))) as ours,
        pytest.raises(DestinationUnreachable, match="certificate"),
    ):
        opened(ours, trusted=world.ours.certificate).deliver(product)
    assert ours.requests == []


def test_a_certificate_of_another_host_is_told_nothing(
    world: WebhookWorld, product: Product
) -> None:
    with hook(world.listening(world.server)) as ours:
        elsewhere = ours.url.replace("127.0.0.1", "localhost")
        with pytest.raises(DestinationUnreachable, match="certificate"):
            WebhookSender("A", settings(elsewhere, trusted=world.ours.certificate)).deliver(product)
    assert ours.requests == []


def test_whom_the_system_does_not_trust_is_told_nothing(
    world: WebhookWorld, product: Product
) -> None:
    with (
        hook(world.listening(world.server)) as ours,
        pytest.raises(DestinationUnreachable, match="certificate"),
    ):
        opened(ours).deliver(product)


def test_where_it_asks_who_we_are_we_say_so(world: WebhookWorld, product: Product) -> None:
    with hook(world.listening(world.server, asks=True)) as ours:
        with pytest.raises(DeliveryFailed):
            opened(ours, trusted=world.ours.certificate).deliver(product)
        mine = {"certificate": world.client.certificate, "key": world.client.key}
        opened(ours, trusted=world.ours.certificate, **mine).deliver(product)
    assert len(ours.told) == 1


# -- the files and the secret


def test_the_secret_may_stand_in_a_file(tmp_path: Path, product: Product) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    with hook() as ours:
        opened(ours, secret=None, secret_file=tmp_path / "secret").deliver(product)
    assert len(ours.told) == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"secret": "hush"}, "secret of destination hook is no base64 of 24 to 64 bytes"),
        ({"secret": "whsec_aHVzaA=="}, "no base64 of 24 to 64 bytes"),
        ({"secret": None, "secret_file": "/nowhere/secret"}, "cannot read secret_file /nowhere"),
        ({"trusted": "/dev/null"}, "trusted: /dev/null holds no certificates"),
        ({"certificate": "/dev/null", "key": "/dev/null"}, "are no pair of PEM files"),
    ],
)
def test_what_cannot_work_is_said_at_the_start(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as error:
        WebhookSender("A", settings("https://h/p", **more))
    assert "hush" not in str(error.value)
    assert "aHVzaA" not in str(error.value)
