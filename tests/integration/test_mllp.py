"""HL7 over MLLP, to a listener built with another library that parses strictly."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.builders.reportings import KINDS
from tests.integration.certificates import EXPIRED_DAYS, Authority, Signed
from tests.integration.listeners import PlainListener, acknowledgement, listener
from tests.waiting import HOST
from triage.cli.demo_site import find_free_port
from triage.destinations.mllp import (
    ANSWER_MAX,
    END,
    MllpDestination,
    MllpDestinationSettings,
    control_id_of,
    judge_answer,
)
from triage.domain.delivery import Product
from triage.domain.errors import (
    DeliveryFailed,
    DeliveryRefused,
    DeliveryUnanswered,
    DeliveryUnclear,
    DestinationUnreachable,
)
from triage.reports import hl7


@pytest.fixture(scope="module")
def product() -> Product:
    return hl7.build(KINDS["usual"]())


def open_mllp(port: int, **more: Any) -> MllpDestination:
    values = {"name": "ris", "kind": "mllp", "host": HOST, "port": port, "timeout_s": 30}
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
        (lambda its: acknowledgement(its).replace(f"AA|{its}", f"ZZ|{its}"), "does not define"),
        (lambda its: acknowledgement(its).replace(f"AA|{its}", f"|{its}"), "does not define"),
        (lambda _id: "\x0bhello\x1c\r", "not an acknowledgement"),
        (lambda _id: "\x0b\x1c\r", "not an acknowledgement"),
        (lambda its: acknowledgement(its).split("MSA")[0] + "\x1c\r", "not an acknowledgement"),
        (lambda _id: "\x0b" + "x" * (ANSWER_MAX + 10), "without an end"),
    ],
)
def test_an_answer_that_means_nothing_leaves_open_whether_the_message_arrived(
    raw: Any, expected: str, product: Product
) -> None:
    with listener(raw=raw) as ris, pytest.raises(DeliveryUnclear, match=expected) as error:
        open_mllp(ris.port).deliver(product)
    assert not isinstance(error.value, DeliveryUnanswered)


@pytest.mark.parametrize(
    "raw",
    [
        lambda _id: acknowledgement("").replace("MSA|AA", "MSA|AA|"),
        lambda _id: acknowledgement("").replace("MSA|AA", "MSA|AA"),
        lambda _id: acknowledgement("SOMETHINGELSE"),
        lambda its: acknowledgement(its).replace(its, f"{its}^1^2"),
        lambda its: acknowledgement(its).replace(its, f"{its}\0\0"),
        lambda its: acknowledgement(its).replace("MSA|AA", "MSA|AA\0^accepted"),
        lambda its: acknowledgement(its).replace("MSA|AA", "MSA|aa "),
        lambda its: acknowledgement(its).replace("MSH", "\ufeffMSH"),
        lambda its: acknowledgement(its).replace("MSH", "\r\nMSH"),
        lambda its: acknowledgement(its).replace("MSA", "\n MSA"),
        lambda its: f"\x0bMSA|AA|{its}\r\x1c\r",
        lambda its: acknowledgement(its).replace("\x1c\r", ""),
        lambda its: acknowledgement(its).removeprefix("\x0b"),
    ],
)
def test_an_acknowledgement_on_its_connection_means_the_message_however_it_is_written(
    raw: Any, product: Product
) -> None:
    with listener(raw=raw) as ris:
        assert open_mllp(ris.port).deliver(product).answer.startswith("AA")
    assert len(ris.messages) == 1


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("", "AA without a control ID"),
        ("OTHER", "AA with another control ID than that of the message"),
        ("ID1", "AA"),
    ],
)
def test_an_acknowledgement_states_whether_it_names_the_message(named: str, expected: str) -> None:
    answer = f"MSH|^~\\&|||||1||ACK|A1|P|2.5.1\rMSA|AA|{named}\r".encode()
    assert judge_answer(answer, "ID1", "ris").answer == expected


@pytest.mark.parametrize("named", ["", "OTHER", "ID1^2"])
@pytest.mark.parametrize(("code", "error"), [("AR", DeliveryRefused), ("AE", DeliveryFailed)])
def test_a_rejection_or_an_error_without_our_control_id_means_the_message(
    code: str, error: type[DeliveryFailed], named: str
) -> None:
    answer = f"MSH|^~\\&|||||1||ACK|A1|P|2.5.1\rMSA|{code}|{named}\r".encode()
    with pytest.raises(error, match=f"answered {code}") as caught:
        judge_answer(answer, "ID1", "ris")
    assert type(caught.value) is error


@pytest.mark.parametrize("framed", ["\x0b{}\x1c\r", "\x0b{}\r\x1c\r", "{}"])
def test_the_commit_bytes_of_mllp_release_2(framed: str, product: Product) -> None:
    with listener(raw=lambda _id: framed.format("\x06")) as ris:
        assert "MLLP release 2" in open_mllp(ris.port).deliver(product).answer
    with (
        listener(raw=lambda _id: framed.format("\x15")) as ris,
        pytest.raises(DeliveryFailed, match="cannot store the message now") as error,
    ):
        open_mllp(ris.port).deliver(product)
    assert type(error.value) is DeliveryFailed  # nothing was stored: tried again without doubt


def test_a_peer_that_does_not_answer_is_unreachable(product: Product) -> None:
    with pytest.raises(DestinationUnreachable, match="gives no answer"):
        open_mllp(find_free_port()).deliver(product)
    with listener(delay_s=1) as ris, pytest.raises(DeliveryUnanswered, match="timed out"):
        open_mllp(ris.port, timeout_s=0.3).deliver(product)
    with pytest.raises(DestinationUnreachable, match="gives no answer"):
        open_mllp(2575, host="no-such-host.invalid", without_tls=True).deliver(product)


def test_a_connection_closed_during_a_message_does_not_delay_others(product: Product) -> None:
    with (
        listener(raw=lambda _id: "") as ris,
        pytest.raises(DeliveryUnclear, match="closed") as error,
    ):
        open_mllp(ris.port).deliver(product)
    assert not isinstance(error.value, DeliveryUnanswered)


@contextmanager
def meeting(serve: Callable[[socket.socket], None]) -> Iterator[PlainListener]:
    """Run a peer that serves one connection as a function says."""

    def accept() -> None:
        connection, _ = bound.accept()
        with connection:
            serve(connection)

    with socket.create_server((HOST, 0)) as bound:
        thread = threading.Thread(target=accept)
        thread.start()
        yield PlainListener(port=bound.getsockname()[1])
        thread.join()


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def read_and_reset(connection: socket.socket) -> None:
    while not connection.recv(1 << 16).endswith(END):
        pass
    reset(connection)


def close_at_once(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def greet_and_answer(connection: socket.socket) -> None:
    connection.sendall(acknowledgement("LATE").encode())
    while not connection.recv(1 << 16).endswith(END):
        pass
    connection.sendall(acknowledgement("", "AE").encode())


def test_a_connection_that_breaks_after_a_message_does_not_delay_others(product: Product) -> None:
    with (
        meeting(read_and_reset) as ris,
        pytest.raises(DeliveryUnclear, match="closed the") as error,
    ):
        open_mllp(ris.port).deliver(product)
    assert not isinstance(error.value, DeliveryUnanswered)


@pytest.mark.parametrize("error", [ConnectionResetError, BrokenPipeError, ssl.SSLEOFError])
def test_a_message_without_its_end_has_not_arrived(
    error: type[OSError], product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_connection(*_: object) -> bytes:
        raise error

    monkeypatch.setattr(socket.socket, "sendall", break_connection)
    with listener() as ris, pytest.raises(DeliveryFailed, match="closed the connection") as caught:
        open_mllp(ris.port).deliver(product)
    assert type(caught.value) is DeliveryFailed


@pytest.mark.parametrize("how", [close_at_once, reset])
def test_a_connection_that_ends_before_a_message_is_unreachable(
    how: Callable[[socket.socket], None], product: Product
) -> None:
    """A proxy whose server is down closes each connection; the message was not sent."""
    with meeting(how) as ris, pytest.raises(DestinationUnreachable, match="at once|reset"):
        open_mllp(ris.port).deliver(product)


def test_what_arrives_before_the_message_does_not_acknowledge_it(product: Product) -> None:
    with meeting(greet_and_answer) as ris, pytest.raises(DeliveryFailed, match="answered AE"):
        open_mllp(ris.port).deliver(product)


def test_a_connection_that_breaks_before_a_message_is_unreachable(
    signed: dict[str, Signed], product: Product
) -> None:
    with meeting(reset) as ris, pytest.raises(DestinationUnreachable, match="reset"):
        over_tls(ris, signed).deliver(product)


def test_a_late_acknowledgement_is_not_taken_for_another_message(product: Product) -> None:
    other = hl7.build(KINDS["none_flagged"]())
    with listener(delay_s=0.6) as ris:
        with pytest.raises(DeliveryUnanswered):
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
            with pytest.raises(DestinationUnreachable):
                ask()
        assert over_tls(ris, signed, "client").echo()
        assert over_tls(ris, signed, "client").deliver(product).answer == "AA"
    assert len(ris.messages) == 1


def test_nothing_is_sent_to_a_peer_without_tls(signed: dict[str, Signed], product: Product) -> None:
    with listener() as ris, pytest.raises(DestinationUnreachable):
        over_tls(ris, signed).deliver(product)
    assert ris.messages == []
