"""Reports over DICOM with TLS, to real peers: Orthanc and DCMTK's storescp."""

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pynetdicom import AE, AllStoragePresentationContexts, evt

from tests.builders.assessments import mixed
from tests.builders.reportings import reporting
from tests.integration.certificates import Signed, TlsWorld
from tests.integration.servers import Orthanc, orthanc
from tests.peers import peer
from tests.waiting import HOST, listens, wait_until
from triage.cli.demo_site import find_free_port
from triage.destinations.dicom_store import DicomDestination, DicomDestinationSettings
from triage.destinations.dicom_tls import PacsTls
from triage.domain.delivery import Product
from triage.domain.errors import ConfigurationError, DestinationUnreachable
from triage.reports.structured_report import build

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"  # of pynetdicom
)


@pytest.fixture(scope="module")
def product() -> Product:
    return build(reporting(mixed()))


def secured(port: int, world: TlsWorld, ae_title: str = "ORTHANC", **tls: Any) -> DicomDestination:
    settings = PacsTls(**{"trusted": world.ours.certificate, **tls})
    return DicomDestination(
        "CMRTRIAGE",
        DicomDestinationSettings(
            name="pacs", ae_title=ae_title, host=HOST, port=port, tls=settings, timeout_s=5
        ),
    )


def pair(signed: Signed) -> dict[str, Any]:
    return {"certificate": signed.certificate, "key": signed.key}


@contextmanager
def archive(
    folder: Path, world: TlsWorld, shown: Signed, *, asks: bool = True
) -> Iterator[Orthanc]:
    """Run an Orthanc that accepts DICOM only over TLS."""
    with orthanc(
        folder,
        DicomTlsEnabled=True,
        DicomTlsCertificate=str(shown.certificate),
        DicomTlsPrivateKey=str(shown.key),
        DicomTlsTrustedCertificates=str(world.ours.certificate),
        DicomTlsRemoteCertificateRequired=asks,
    ) as server:
        yield server


@contextmanager
def storescp(folder: Path, world: TlsWorld, shown: Signed) -> Iterator[int]:
    """Run DCMTK's storescp, which requires a certificate; yield its port."""
    port = find_free_port()
    files = (str(shown.key), str(shown.certificate), "+cf", str(world.ours.certificate))
    program = [peer("storescp"), "+tls", *files, "-od", str(folder), str(port)]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            wait_until(lambda: listens(port), what="storescp")
            yield port
        finally:
            running.terminate()


@pytest.mark.parametrize("asks", [True, False])
def test_orthanc_takes_a_report_over_tls(
    tmp_path: Path, world: TlsWorld, product: Product, *, asks: bool
) -> None:
    with archive(tmp_path, world, world.server, asks=asks) as server:
        ours = pair(world.client) if asks else {}
        pacs = secured(server.dicom_port, world, **ours)
        assert pacs.echo().answer == "0x0000 Success"
        assert pacs.choose([product]) == product
        assert pacs.deliver(product).answer == "0x0000 Success"
        (stored,) = server.reports()
    assert stored[-1000:] == product.content[-1000:]


def test_dcmtk_takes_a_report_over_tls(tmp_path: Path, world: TlsWorld, product: Product) -> None:
    with storescp(tmp_path, world, world.server) as port:
        pacs = secured(port, world, "ANY", **pair(world.client))
        assert pacs.deliver(product).answer == "0x0000 Success"
    (stored,) = tmp_path.iterdir()
    assert dcmread(stored).SOPInstanceUID == product.sop_instance_uid


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_both_work(
    world: TlsWorld, product: Product, version: ssl.TLSVersion
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(world.server.certificate, world.server.key)
    context.minimum_version = context.maximum_version = version
    ae = AE(ae_title="PACS")
    ae.supported_contexts = AllStoragePresentationContexts
    port = find_free_port()
    handlers: Any = [(evt.EVT_C_STORE, lambda _event: 0)]
    server: Any = ae.start_server(
        (HOST, port), block=False, ssl_context=context, evt_handlers=handlers
    )
    try:
        assert secured(port, world, "PACS").deliver(product).answer == "0x0000 Success"
    finally:
        server.shutdown()


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ("stranger", "its certificate is not valid: unable to get local issuer certificate"),
        ("expired", "its certificate is not valid: certificate has expired"),
    ],
)
def test_nothing_is_sent_to_an_archive_with_an_invalid_certificate(
    tmp_path: Path, world: TlsWorld, product: Product, shown: str, expected: str
) -> None:
    with archive(tmp_path, world, getattr(world, shown), asks=False) as server:
        pacs = secured(server.dicom_port, world)
        with pytest.raises(DestinationUnreachable, match=f"gives no answer, TLS: {expected}"):
            pacs.deliver(product)
        with pytest.raises(DestinationUnreachable, match=expected):
            pacs.echo()
        assert not server.reports()


@pytest.mark.parametrize("name", ["server.example", HOST, None])
def test_the_name_in_the_certificate_is_verified(
    tmp_path: Path, world: TlsWorld, product: Product, name: str | None
) -> None:
    with archive(tmp_path, world, world.server, asks=False) as server:
        secured(server.dicom_port, world, name=name).deliver(product)
        with pytest.raises(DestinationUnreachable, match=r"not valid for 'other\.example'"):
            secured(server.dicom_port, world, name="other.example").deliver(product)


@pytest.mark.parametrize("ours", ["stranger", "expired", None])
@pytest.mark.parametrize("server", ["Orthanc", "storescp"])
def test_an_archive_that_requires_our_certificate_takes_nothing_without_it(
    tmp_path: Path, world: TlsWorld, product: Product, server: str, ours: str | None
) -> None:
    shown = pair(getattr(world, ours)) if ours else {}
    if server == "Orthanc":
        with archive(tmp_path, world, world.server) as pacs:
            with pytest.raises(DestinationUnreachable, match="TLS: it ended the handshake"):
                secured(pacs.dicom_port, world, **shown).deliver(product)
            assert not pacs.reports()
    else:
        with (
            storescp(tmp_path, world, world.server) as port,
            pytest.raises(DestinationUnreachable, match="TLS: it ended the handshake"),
        ):
            secured(port, world, "ANY", **shown).deliver(product)
        assert not [*tmp_path.iterdir()]


def test_an_archive_without_tls_is_named_in_the_error(
    tmp_path: Path, world: TlsWorld, product: Product
) -> None:
    with orthanc(tmp_path) as server:
        with pytest.raises(DestinationUnreachable, match="gives no answer, TLS: |does not answer"):
            secured(server.dicom_port, world).deliver(product)
        assert not server.reports()


def test_unusable_files_are_errors_at_the_start(tmp_path: Path, world: TlsWorld) -> None:
    wrong: dict[str, dict[str, Any]] = {
        "holds no certificates": {"trusted": tmp_path / "none.pem"},
        "are not a pair of PEM files": {
            "certificate": world.client.certificate,
            "key": world.server.key,
        },
    }
    for why, files in wrong.items():
        with pytest.raises(ConfigurationError, match=f"destination pacs: tls: .* {why}"):
            secured(104, world, **files)
