"""HL7 over MLLP, to a listener built with another library that parses strictly."""

import socket
import ssl
import struct
import threading
from typing import Any

import pytest

from tests.builders.reportings import KINDS
from tests.integration.certificates import EXPIRED_DAYS, Authority, Signed
from tests.integration.listeners import PlainListener, acknowledgement, listener
from tests.waiting import HOST
from triage.cli.demo_site import find_free_port
from triage.destinations.mllp import (
    ANSWER_MAX,
    MllpDestination,
    MllpDestinationSettings,
    control_id_of,
    judge_answer,
)
from triage.domain.delivery import Product
from triage.domain.errors import DeliveryFailed, DeliveryRefused, DestinationUnreachable
from triage.reports import hl7


@pytest.fixture(scope="module")
def product() -> Product:
    return hl7.build(KINDS["usual"]())


def open_mllp(port: int, **more: Any) -> MllpDestination:
    values = {"name": "ris", "kind": "mllp", "host": HOST, "port": port, "timeout_s": 2}
    return MllpDestination("CMRTRIAGE", MllpDestinationSettings.model_validate(values | more))


@pytest.mark.parametrize("kind", ["usual", "awkward_name", "japanese_name", "bare"])
def test_the_message_arrives_unchanged(kind: str) -> None:
    sent = hl7.build(KINDS[kind]())
    with listener() as ris:
        assert open_mllp(ris.port).deliver(sent).answer == "AA"
    (message,) = ris.messages
    assert message.to_er7().encode() == sent.content.removesuffix(b"\r")
    assert (
        ris.control_ids == [hl7.control_id(sent.sop_instance_uid)] == [control_id_of(sent.content)]
    )


def test_a_second_attempt_has_the_same_control_id(product: Product) -> None:
    with listener(code="AE") as ris:
        with pytest.raises(DeliveryFailed):
            open_mllp(ris.port).deliver(product)
        ris.code = "AA"
        open_mllp(ris.port).deliver(product)
    first, second = ris.control_ids
    assert first == second


@pytest.mark.parametrize("code", ["AA", "CA"])
def test_aa_and_ca_count_as_delivered(code: str, product: Product) -> None:
    with listener(code=code) as ris:
        assert open_mllp(ris.port).deliver(product).answer == code


@pytest.mark.parametrize("code", ["AE", "CE"])
def test_an_error_is_retried_and_its_text_is_kept(code: str, product: Product) -> None:
    with (
        listener(code=code, text="the table  is locked") as ris,
        pytest.raises(DeliveryFailed, match=f"answered {code}, ") as error,
    ):
        open_mllp(ris.port).deliver(product)
    assert not isinstance(error.value, DeliveryRefused | DestinationUnreachable)
    assert error.value.peer_text == "the table is locked"
    assert "table" not in str(error.value)  # the error message may be logged


@pytest.mark.parametrize("code", ["AR", "CR"])
def test_a_rejection_is_final(code: str, product: Product) -> None:
    with (
        listener(code=code, text="unknown application") as ris,
        pytest.raises(DeliveryRefused, match=f"answered {code}, ") as error,
    ):
        open_mllp(ris.port).deliver(product)
    assert error.value.peer_text == "unknown application"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (lambda _id: acknowledgement("SOMETHINGELSE"), "acknowledged another message"),
        (lambda _id: acknowledgement(""), "acknowledged another message"),
        (lambda its: acknowledgement(its).replace(f"AA|{its}", f"ZZ|{its}"), "does not define"),
        (lambda _id: "\x0bhello\x1c\r", "not an acknowledgement"),
        (lambda its: f"\x0bMSA|AA|{its}\r\x1c\r", "not an acknowledgement"),
        (lambda its: acknowledgement(its).split("MSA")[0] + "\x1c\r", "not an acknowledgement"),
        (lambda _id: "\x0b" + "x" * (ANSWER_MAX + 10), "without an end"),
    ],
)
def test_an_answer_that_does_not_acknowledge_this_message_is_a_failure(
    raw: Any, expected: str, product: Product
) -> None:
    with (
        listener(raw=raw) as ris,
        pytest.raises(DeliveryFailed, match=expected) as error,
    ):
        open_mllp(ris.port).deliver(product)
    assert not isinstance(error.value, DeliveryRefused)


def test_a_peer_that_does_not_answer_is_unreachable(product: Product) -> None:
    with pytest.raises(DestinationUnreachable, match="gives no answer"):
        open_mllp(find_free_port()).deliver(product)
    with listener(delay_s=1) as ris, pytest.raises(DestinationUnreachable, match="timed out"):
        open_mllp(ris.port, timeout_s=0.3).deliver(product)
    with pytest.raises(DestinationUnreachable, match="gives no answer"):
        open_mllp(2575, host="no-such-host.invalid").deliver(product)


def test_a_connection_closed_during_a_message_does_not_delay_others(product: Product) -> None:
    with (
        listener(raw=lambda _id: "") as ris,
        pytest.raises(DeliveryFailed, match="closed") as error,
    ):
        open_mllp(ris.port).deliver(product)
    assert not isinstance(error.value, DestinationUnreachable)


@pytest.mark.parametrize("error", [ConnectionResetError, BrokenPipeError, ssl.SSLEOFError])
def test_a_connection_that_breaks_during_a_message_does_not_delay_others(
    error: type[OSError], product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_connection(*_: object) -> bytes:
        raise error

    monkeypatch.setattr(MllpDestination, "_receive", break_connection)
    with listener() as ris, pytest.raises(DeliveryFailed, match="closed the connection") as caught:
        open_mllp(ris.port).deliver(product)
    assert not isinstance(caught.value, DestinationUnreachable)


def test_a_connection_that_breaks_before_a_message_is_unreachable(
    signed: dict[str, Signed], product: Product
) -> None:
    def break_off(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()  # with a reset

    with socket.create_server((HOST, 0)) as listening:
        thread = threading.Thread(target=break_off, args=(listening,))
        thread.start()
        ris = PlainListener(port=listening.getsockname()[1])
        with pytest.raises(DestinationUnreachable, match="reset"):
            over_tls(ris, signed).deliver(product)
        thread.join()


def test_a_late_acknowledgement_is_not_taken_for_another_message(product: Product) -> None:
    other = hl7.build(KINDS["none_flagged"]())
    with listener(delay_s=0.6) as ris:
        with pytest.raises(DestinationUnreachable):
            open_mllp(ris.port, timeout_s=0.3).deliver(product)
        assert open_mllp(ris.port).deliver(other).answer == "AA"
    assert len(ris.messages) == 2


def test_an_echo_sends_nothing() -> None:
    with listener() as ris:
        assert open_mllp(ris.port).echo().answer == "it accepts connections"
    assert ris.messages == []


def test_other_separators_line_ends_and_errors_are_read() -> None:
    lines = (
        "MSH$^~\\&$$$$$1$$ACK$A1$P$2.5.1",
        "MSA$AE$ID1$wrong",
        "ERR$$$207^Bad$E$$$$no disk",
        "",
    )
    answer = "\r\n".join(lines).encode()
    with pytest.raises(DeliveryFailed) as error:
        judge_answer(answer, "ID1", "ris")
    assert error.value.peer_text == "wrong 207^Bad no disk"


# -- TLS


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Signed]:
    folder = tmp_path_factory.mktemp("certificates")
    ours, theirs = Authority(folder, "ours"), Authority(folder, "theirs")
    return {
        "ca": Signed(ours.certificate, ours.certificate),
        "right": ours.sign("ris"),
        "expired": ours.sign("late", EXPIRED_DAYS),
        "stranger": theirs.sign("ris"),
        "client": ours.sign("triage"),
    }


def listening(signed: dict[str, Signed], server: str, *, asks: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed[server].certificate, signed[server].key)
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(signed["ca"].certificate)
    return context


def over_tls(
    ris: PlainListener, signed: dict[str, Signed], client: str = "", **more: Any
) -> MllpDestination:
    tls = {"trusted": signed["ca"].certificate}
    if client:
        tls |= {"certificate": signed[client].certificate, "key": signed[client].key}
    return open_mllp(ris.port, tls=tls, **more)


def test_a_message_arrives_over_tls(signed: dict[str, Signed], product: Product) -> None:
    with listener(listening(signed, "right")) as ris:
        assert over_tls(ris, signed).echo().answer == "it accepts connections"
        assert over_tls(ris, signed).deliver(product).answer == "AA"
    assert len(ris.messages) == 1


@pytest.mark.parametrize("server", ["expired", "stranger"])
def test_nothing_is_sent_to_a_peer_with_an_invalid_certificate(
    server: str, signed: dict[str, Signed], product: Product
) -> None:
    with listener(listening(signed, server)) as ris:
        for ask in (over_tls(ris, signed).echo, lambda: over_tls(ris, signed).deliver(product)):
            with pytest.raises(DestinationUnreachable, match="certificate"):
                ask()
    assert ris.messages == []


def test_nothing_is_sent_to_a_peer_with_the_certificate_of_another_host(
    signed: dict[str, Signed], product: Product
) -> None:
    with (
        listener(listening(signed, "right")) as ris,
        pytest.raises(DestinationUnreachable, match="certificate"),
    ):
        over_tls(ris, signed, host="localhost").deliver(product)


def test_our_certificate_is_sent_to_a_peer_that_requires_one(
    signed: dict[str, Signed], product: Product
) -> None:
    with listener(listening(signed, "right", asks=True)) as ris:
        for ask in (over_tls(ris, signed).echo, lambda: over_tls(ris, signed).deliver(product)):
            with pytest.raises(DeliveryFailed):
                ask()
        assert over_tls(ris, signed, "client").echo()
        assert over_tls(ris, signed, "client").deliver(product).answer == "AA"
    assert len(ris.messages) == 1


def test_nothing_is_sent_to_a_peer_without_tls(signed: dict[str, Signed], product: Product) -> None:
    with listener() as ris, pytest.raises(DeliveryFailed):
        over_tls(ris, signed).deliver(product)
    assert ris.messages == []
