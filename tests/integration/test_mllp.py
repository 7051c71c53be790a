"""HL7 over MLLP, to a listener made with a library of its own that reads strictly."""

import socket
import ssl
import struct
import threading
from typing import Any

import pytest

from tests.builders.reportings import KINDS
from tests.integration.certificates import EXPIRED_DAYS, Authority, Signed
from tests.integration.listeners import PlainListener, acknowledgement, listener
from tests.integration.servers import HOST
from triage.cli.demo_site import find_free_port
from triage.config import MllpDestination
from triage.destinations.mllp import ANSWER_MAX, MllpSender, control_id_of, judged
from triage.domain.delivery import Product
from triage.domain.errors import DeliveryFailed, DeliveryRefused, DestinationUnreachable
from triage.reports import hl7


@pytest.fixture(scope="module")
def product() -> Product:
    return hl7.build(KINDS["usual"]())


def opened(port: int, **more: Any) -> MllpSender:
    values = {"name": "ris", "kind": "mllp", "host": HOST, "port": port, "timeout_s": 2}
    return MllpSender("CMRTRIAGE", MllpDestination.model_validate(values | more))


@pytest.mark.parametrize("kind", ["usual", "awkward_name", "japanese_name", "bare"])
def test_what_arrives_is_the_message(kind: str) -> None:
    said = hl7.build(KINDS[kind]())
    with listener() as ris:
        assert opened(ris.port).deliver(said).answer == "AA"
    (message,) = ris.messages
    assert message.to_er7().encode() == said.content.removesuffix(b"\r")
    assert (
        ris.control_ids == [hl7.control_id(said.sop_instance_uid)] == [control_id_of(said.content)]
    )


def test_a_second_try_has_the_same_control_id(product: Product) -> None:
    with listener(code="AE") as ris:
        with pytest.raises(DeliveryFailed):
            opened(ris.port).deliver(product)
        ris.code = "AA"
        opened(ris.port).deliver(product)
    first, second = ris.control_ids
    assert first == second


@pytest.mark.parametrize("code", ["AA", "CA"])
def test_aa_and_ca_are_delivered(code: str, product: Product) -> None:
    with listener(code=code) as ris:
        assert opened(ris.port).deliver(product).answer == code


@pytest.mark.parametrize("code", ["AE", "CE"])
def test_an_error_is_tried_again_and_its_text_is_kept(code: str, product: Product) -> None:
    with (
        listener(code=code, text="the table  is locked") as ris,
        pytest.raises(DeliveryFailed, match=f"answers {code}, ") as error,
    ):
        opened(ris.port).deliver(product)
    assert not isinstance(error.value, DeliveryRefused | DestinationUnreachable)
    assert error.value.peer_text == "the table is locked"
    assert "table" not in str(error.value)  # which may be logged


@pytest.mark.parametrize("code", ["AR", "CR"])
def test_a_rejection_is_final(code: str, product: Product) -> None:
    with (
        listener(code=code, text="unknown application") as ris,
        pytest.raises(DeliveryRefused, match=f"answers {code}, ") as error,
    ):
        opened(ris.port).deliver(product)
    assert error.value.peer_text == "unknown application"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (lambda _id: acknowledgement("SOMETHINGELSE"), "acknowledges another message"),
        (lambda _id: acknowledgement(""), "acknowledges another message"),
        (lambda its: acknowledgement(its).replace(f"AA|{its}", f"ZZ|{its}"), "does not know"),
        (lambda _id: "\x0bhello\x1c\r", "no acknowledgement"),
        (lambda its: f"\x0bMSA|AA|{its}\r\x1c\r", "no acknowledgement"),
        (lambda its: acknowledgement(its).split("MSA")[0] + "\x1c\r", "no acknowledgement"),
        (lambda _id: "\x0b" + "x" * (ANSWER_MAX + 10), "without an end"),
    ],
)
def test_what_is_no_acknowledgement_of_this_message_is_a_failure(
    raw: Any, said: str, product: Product
) -> None:
    with (
        listener(raw=raw) as ris,
        pytest.raises(DeliveryFailed, match=said) as error,
    ):
        opened(ris.port).deliver(product)
    assert not isinstance(error.value, DeliveryRefused)


def test_no_answer_is_silence(product: Product) -> None:
    with pytest.raises(DestinationUnreachable, match="gives no answer"):
        opened(find_free_port()).deliver(product)
    with listener(delay_s=1) as ris, pytest.raises(DestinationUnreachable, match="timed out"):
        opened(ris.port, timeout_s=0.3).deliver(product)
    with pytest.raises(DestinationUnreachable, match="gives no answer"):
        opened(2575, host="no-such-host.invalid").deliver(product)


def test_who_hangs_up_on_one_message_may_take_the_next(product: Product) -> None:
    with listener(raw=lambda _id: "") as ris, pytest.raises(DeliveryFailed, match="hung") as error:
        opened(ris.port).deliver(product)
    assert not isinstance(error.value, DestinationUnreachable)


@pytest.mark.parametrize("error", [ConnectionResetError, BrokenPipeError, ssl.SSLEOFError])
def test_who_breaks_off_on_one_message_may_take_the_next(
    error: type[OSError], product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> bytes:
        raise error

    monkeypatch.setattr(MllpSender, "_answer", breaks)
    with listener() as ris, pytest.raises(DeliveryFailed, match="hung up") as caught:
        opened(ris.port).deliver(product)
    assert not isinstance(caught.value, DestinationUnreachable)


def test_who_breaks_off_before_a_message_is_silent(
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


def test_an_answer_that_comes_late_is_nobody_elses(product: Product) -> None:
    other = hl7.build(KINDS["none_flagged"]())
    with listener(delay_s=0.6) as ris:
        with pytest.raises(DestinationUnreachable):
            opened(ris.port, timeout_s=0.3).deliver(product)
        assert opened(ris.port).deliver(other).answer == "AA"
    assert len(ris.messages) == 2


def test_an_echo_sends_nothing() -> None:
    with listener() as ris:
        assert opened(ris.port).echo().answer == "it takes connections"
    assert ris.messages == []


def test_other_separators_line_ends_and_errors_are_read() -> None:
    lines = (
        "MSH$^~\\&$$$$$1$$ACK$A1$P$2.5.1",
        "MSA$AE$ID1$wrong",
        "ERR$$$207^Bad$E$$$$no disk",
        "",
    )
    said = "\r\n".join(lines).encode()
    with pytest.raises(DeliveryFailed) as error:
        judged(said, "ID1", "ris")
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


def listening(signed: dict[str, Signed], who: str, *, asks: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed[who].certificate, signed[who].key)
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(signed["ca"].certificate)
    return context


def over_tls(
    ris: PlainListener, signed: dict[str, Signed], client: str = "", **more: Any
) -> MllpSender:
    tls = {"trusted": signed["ca"].certificate}
    if client:
        tls |= {"certificate": signed[client].certificate, "key": signed[client].key}
    return opened(ris.port, tls=tls, **more)


def test_over_tls_it_arrives(signed: dict[str, Signed], product: Product) -> None:
    with listener(listening(signed, "right")) as ris:
        assert over_tls(ris, signed).echo().answer == "it takes connections"
        assert over_tls(ris, signed).deliver(product).answer == "AA"
    assert len(ris.messages) == 1


@pytest.mark.parametrize("who", ["expired", "stranger"])
def test_a_certificate_that_is_not_right_is_sent_nothing(
    who: str, signed: dict[str, Signed], product: Product
) -> None:
    with listener(listening(signed, who)) as ris:
        for ask in (over_tls(ris, signed).echo, lambda: over_tls(ris, signed).deliver(product)):
            with pytest.raises(DestinationUnreachable, match="certificate"):
                ask()
    assert ris.messages == []


def test_a_certificate_of_another_host_is_sent_nothing(
    signed: dict[str, Signed], product: Product
) -> None:
    with (
        listener(listening(signed, "right")) as ris,
        pytest.raises(DestinationUnreachable, match="certificate"),
    ):
        over_tls(ris, signed, host="localhost").deliver(product)


def test_where_it_asks_who_we_are_we_say_so(signed: dict[str, Signed], product: Product) -> None:
    with listener(listening(signed, "right", asks=True)) as ris:
        for ask in (over_tls(ris, signed).echo, lambda: over_tls(ris, signed).deliver(product)):
            with pytest.raises(DeliveryFailed):
                ask()
        assert over_tls(ris, signed, "client").echo()
        assert over_tls(ris, signed, "client").deliver(product).answer == "AA"
    assert len(ris.messages) == 1


def test_whoever_speaks_no_tls_is_sent_nothing(signed: dict[str, Signed], product: Product) -> None:
    with listener() as ris, pytest.raises(DeliveryFailed):
        over_tls(ris, signed).deliver(product)
    assert ris.messages == []
