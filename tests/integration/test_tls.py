"""The TLS port with real handshakes of DCMTK and Python, and with invalid ones."""

import hashlib
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE
from pynetdicom.association import Association

from receivers.c_store.listener import SILENT_OF_ONE_PEER
from tests.builders.images import image
from tests.integration.certificates import Signed, TlsWorld
from tests.integration.listening_receiver import (
    CALLED,
    ListeningReceiver,
    connect_silently,
    is_closed,
    measure_resources,
    read_rejection,
    request_association,
    run_receiver,
)
from tests.integration.scp import dcmtk
from tests.waiting import HOST, wait_until
from triage.cli.demo_site import find_free_port
from triage.dimse.association import TLS12_CIPHER_SUITES
from triage.dimse.statuses import StoreStatus
from triage.domain.errors import ConfigurationError


@contextmanager
def secured(
    state: Path,
    world: TlsWorld,
    *,
    asks: bool = True,
    server: Signed | None = None,
    **settings: Any,
) -> Iterator[ListeningReceiver]:
    shown = server or world.server
    tls = {"port": find_free_port(), "certificate": shown.certificate, "key": shown.key}
    tls |= {"clients": world.ours.certificate} if asks else {}
    with run_receiver(state, tls=tls, **settings) as receiver:
        yield receiver


def echo(
    receiver: ListeningReceiver, world: TlsWorld, client: Signed | None
) -> CompletedProcess[str]:
    """Send a C-ECHO with DCMTK over TLS; DCMTK checks our certificate."""
    trusted = ("+cf", str(world.ours.certificate))
    if client is None:
        return dcmtk("echoscu", receiver.tls_port, "+tla", *trusted)
    return dcmtk(
        "echoscu", receiver.tls_port, "+tls", str(client.key), str(client.certificate), *trusted
    )


def offering(world: TlsWorld, client: Signed | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(world.ours.certificate))
    if client is not None:
        context.load_cert_chain(client.certificate, client.key)
    return context


def associated(
    receiver: ListeningReceiver, context: ssl.SSLContext, calling: str = "PACS"
) -> Association:
    ae = AE(ae_title=calling)
    ae.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
    return ae.associate(HOST, receiver.tls_port, ae_title=CALLED, tls_args=(context, HOST))


def reasons(receiver: ListeningReceiver, times: int = 1) -> list[str]:
    return [why for why, *_ in receiver.list_incidents(times)]


@pytest.mark.parametrize("asks", [False, True])
def test_dcmtk_is_admitted_with_the_right_certificate(
    tmp_path: Path, world: TlsWorld, *, asks: bool
) -> None:
    with secured(tmp_path, world, asks=asks) as receiver:
        said = echo(receiver, world, world.client if asks else None)
        assert said.returncode == 0, said.stderr
        assert dcmtk("echoscu", receiver.port).returncode == 0  # the other port goes on
        assert not receiver.list_incidents()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_images_arrive_over_tls_1_2_and_1_3(
    tmp_path: Path, world: TlsWorld, version: ssl.TLSVersion
) -> None:
    context = offering(world, world.client)
    context.minimum_version = context.maximum_version = version
    big = image(Rows=512, Columns=512, PixelData=bytes(512 * 512 * 2))
    with secured(tmp_path, world) as receiver:
        association = associated(receiver, context)
        assert association.send_c_store(big).Status == StoreStatus.SUCCESS
        association.release()
        assert len(receiver.files()) == 1


@pytest.mark.parametrize(
    ("client", "said"),
    [
        ("stranger", "TLS: unable to get local issuer certificate"),
        ("expired", "TLS: certificate has expired"),
        (None, "TLS: peer did not return a certificate"),
    ],
)
def test_a_wrong_or_missing_certificate_is_rejected_with_the_reason(
    tmp_path: Path, world: TlsWorld, client: str | None, said: str
) -> None:
    with secured(tmp_path, world) as receiver:
        before = measure_resources()
        shown = getattr(world, client) if client else None
        for _ in range(10):
            assert echo(receiver, world, shown).returncode != 0
        assert reasons(receiver, 10) == [said]
        wait_until(
            lambda: measure_resources().threads <= before.threads, what="the end of its threads"
        )
        assert (
            measure_resources().descriptors < before.descriptors + 10
        )  # the ledger has opened some


@pytest.mark.parametrize("server", ["stranger", "expired"])
def test_a_sender_that_does_not_trust_our_certificate_does_not_send(
    tmp_path: Path, world: TlsWorld, server: str
) -> None:
    with secured(tmp_path, world, server=getattr(world, server)) as receiver:
        assert echo(receiver, world, world.client).returncode != 0
        assert not receiver.ledger.list_studies()
        assert reasons(receiver)[0].startswith("TLS: ")


def test_versions_and_ciphers_that_bcp_195_excludes_are_not_negotiated(
    tmp_path: Path, world: TlsWorld
) -> None:
    with secured(tmp_path, world, asks=False) as receiver:
        for suite in ("ECDHE-RSA-AES128-SHA256", "AES128-GCM-SHA256", "ECDHE-RSA-AES256-SHA"):
            context = offering(world, None)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(suite)
            with connect_silently(receiver.tls_port) as connection, pytest.raises(ssl.SSLError):
                context.wrap_socket(connection, server_hostname=HOST)
        assert reasons(receiver, 3) == ["TLS: no shared cipher"]
        for suite in TLS12_CIPHER_SUITES[1::2]:  # those for our RSA certificate
            context = offering(world, None)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(suite)
            with context.wrap_socket(
                connect_silently(receiver.tls_port), server_hostname=HOST
            ) as connection:
                assert (connection.cipher() or ("",))[0] == suite


def test_dicom_without_tls_is_rejected_on_the_tls_port(tmp_path: Path, world: TlsWorld) -> None:
    with secured(tmp_path, world) as receiver:
        assert dcmtk("echoscu", receiver.tls_port).returncode != 0
        assert reasons(receiver)[0].startswith("TLS: ")


def test_a_peer_is_admitted_only_with_its_certificate(tmp_path: Path, world: TlsWorld) -> None:
    encoded = ssl.PEM_cert_to_DER_cert(world.client.certificate.read_text())
    fingerprint = hashlib.sha256(encoded).hexdigest()
    for certificate in ("pacs", "pacs.example", fingerprint):
        peers = {"pacs": {"ae_titles": ["ARCHIVE"], "certificates": [certificate]}}
        state = tmp_path / certificate
        state.mkdir()
        with secured(state, world, peers=peers) as receiver:
            right = associated(receiver, offering(world, world.client), "ARCHIVE")
            assert right.is_established
            right.release()
            wrong = associated(receiver, offering(world, world.other_client), "ARCHIVE")
            assert read_rejection(wrong) == (1, 1, 3)
            plain = request_association(receiver.port, calling="ARCHIVE")
            assert read_rejection(plain) == (1, 1, 3)
            assert sorted(reasons(receiver, 2)) == [
                "calling AE title 'ARCHIVE' must use TLS with its client certificate",
                "calling AE title 'ARCHIVE' presented a certificate that is not its own",
            ]


@pytest.mark.parametrize("said", [b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"])
def test_a_hanging_handshake_delays_no_other_and_ends(
    tmp_path: Path, world: TlsWorld, said: bytes
) -> None:
    with secured(tmp_path, world, artim_s=10) as receiver:
        before = measure_resources()
        hanging = [connect_silently(receiver.tls_port) for _ in range(SILENT_OF_ONE_PEER - 5)]
        for each in hanging:
            each.sendall(said)
        time.sleep(0.5)
        began = time.monotonic()
        assert echo(receiver, world, world.client).returncode == 0
        assert dcmtk("echoscu", receiver.port).returncode == 0
        assert time.monotonic() - began < 8  # ARTIM has not expired
        assert all(is_closed(each) for each in hanging)
        for each in hanging:
            each.close()
        assert reasons(receiver, SILENT_OF_ONE_PEER - 5) == [
            "TLS: the handshake was not finished in time"
        ]
        wait_until(
            lambda: measure_resources().threads <= before.threads, what="the end of their threads"
        )
        assert measure_resources().descriptors < before.descriptors + len(hanging)


def test_hanging_handshakes_use_no_thread_and_the_oldest_makes_room(
    tmp_path: Path, world: TlsWorld
) -> None:
    with secured(tmp_path, world, artim_s=30) as receiver:
        before = measure_resources()
        hanging = [connect_silently(receiver.tls_port) for _ in range(SILENT_OF_ONE_PEER)]
        for each in hanging:
            each.sendall(b"\x16")
        assert echo(receiver, world, world.client).returncode == 0
        assert measure_resources().threads <= before.threads + 3  # of the echo
        assert is_closed(hanging[0], 20)
        assert reasons(receiver, 1) == [
            f"more than {SILENT_OF_ONE_PEER} silent connections of one address at once"
        ]
        for each in hanging:
            each.close()


def test_the_port_without_tls_can_be_switched_off(tmp_path: Path, world: TlsWorld) -> None:
    with secured(tmp_path, world, port=None) as receiver:
        assert echo(receiver, world, world.client).returncode == 0
        with pytest.raises(ConfigurationError, match=r"receiver\.port is null"):
            receiver.settings.plain_port()


def test_files_that_do_not_fit_are_found_at_the_start(tmp_path: Path, world: TlsWorld) -> None:
    port = find_free_port()
    wrong = {
        "is not the key of": {"certificate": world.server.certificate, "key": world.client.key},
        "cannot read": {"certificate": tmp_path / "none.pem", "key": world.server.key},
        "not PEM": {"certificate": world.server.key, "key": world.server.key},
    }
    for said, files in wrong.items():
        tls = {"port": find_free_port(), **files}
        with (
            pytest.raises(ConfigurationError, match=said),
            run_receiver(tmp_path, port=port, tls=tls),
        ):
            pass
    with run_receiver(tmp_path, port=port):  # which no failed start has kept
        assert dcmtk("echoscu", port).returncode == 0
