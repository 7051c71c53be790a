"""The contract of `Destination`, for the fake and for every kind of destination with a real peer.

Each destination is sent a product that it takes. Tests of a single kind are in files of their own.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import UID, Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage
from pynetdicom import AE, AllStoragePresentationContexts, evt

from tests.builders.assessments import mixed, untrained
from tests.builders.reportings import reporting
from tests.fakes import FakeDestination
from tests.integration.hooks import SECRET, hook
from tests.integration.listeners import listener
from tests.integration.servers import orthanc
from tests.peers import peer
from tests.waiting import HOST
from triage.cli.demo_site import find_free_port
from triage.destinations.dicom_store import DicomDestination, DicomDestinationSettings
from triage.destinations.folder import FolderDestination, FolderDestinationSettings
from triage.destinations.mllp import MllpDestination, MllpDestinationSettings
from triage.destinations.stow import StowDestination, StowDestinationSettings
from triage.destinations.webhook import WebhookDestination, WebhookDestinationSettings
from triage.domain.delivery import Product
from triage.domain.errors import DeliveryFailed, DestinationUnreachable
from triage.ports.destination import Destination
from triage.reports import build_products, hl7, summary
from triage.reports.structured_report import build

#: Only peers that are there are waited for; a busy machine may take its time.
TIMEOUT_S = 40
DICOMWEB = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"


@pytest.fixture(scope="module")
def product() -> Product:
    return build(reporting(untrained()))


def product_for(destination: Destination) -> Product:
    """Return a product that the destination takes."""
    source = reporting(untrained())
    made = [build(source), summary.build(source), hl7.build(source)]
    return next(product for product in made if product.media_type in destination.media_types)


def dicom(port: int, ae_title: str = "ORTHANC") -> DicomDestination:
    settings = DicomDestinationSettings(
        name="pacs", ae_title=ae_title, host=HOST, port=port, timeout_s=TIMEOUT_S
    )
    return DicomDestination("CMRTRIAGE", settings)


def folder(path: Path) -> FolderDestination:
    return FolderDestination(
        "CMRTRIAGE", FolderDestinationSettings(name="out", kind="folder", path=path)
    )


def webhook(url: str) -> WebhookDestination:
    values = {
        "name": "hook",
        "kind": "webhook",
        "url": url,
        "secret": SECRET,
        "timeout_s": TIMEOUT_S,
    }
    return WebhookDestination("CMRTRIAGE", WebhookDestinationSettings.model_validate(values))


def mllp(port: int) -> MllpDestination:
    values = {"name": "ris", "kind": "mllp", "host": HOST, "port": port, "timeout_s": TIMEOUT_S}
    return MllpDestination("CMRTRIAGE", MllpDestinationSettings.model_validate(values))


def stow(port: int) -> StowDestination:
    url = f"http://{HOST}:{port}/dicom-web"
    values = {"name": "web", "kind": "stow", "url": url, "timeout_s": TIMEOUT_S}
    return StowDestination("CMRTRIAGE", StowDestinationSettings.model_validate(values))


@pytest.fixture(params=["fake", "orthanc", "stow", "folder", "webhook", "mllp"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Destination]:
    """Yield each kind of destination, with its peer running."""
    if request.param == "fake":
        yield FakeDestination()
    elif request.param == "folder":
        yield folder(tmp_path)
    elif request.param == "webhook":
        with hook() as ours:
            yield webhook(ours.url)
    elif request.param == "mllp":
        with listener() as listening:
            yield mllp(listening.port)
    elif request.param == "stow":
        with orthanc(tmp_path, Plugins=[peer(DICOMWEB)]) as server:
            yield stow(server.http_port)
    else:
        with orthanc(tmp_path) as server:
            yield dicom(server.dicom_port)


@pytest.fixture(params=["fake", "pacs", "stow", "folder", "webhook", "mllp"])
def silent(request: pytest.FixtureRequest, tmp_path: Path) -> Destination:
    """Return each kind of destination, without a peer."""
    match request.param:
        case "fake":
            return FakeDestination(refusal="no answer", silent=True)
        case "folder":
            return folder(tmp_path / "none")
        case "webhook":
            return webhook(f"http://{HOST}:{find_free_port()}/")
        case "mllp":
            return mllp(find_free_port())
        case "stow":
            return stow(find_free_port())
    return dicom(find_free_port())


def test_a_product_is_acknowledged(destination: Destination) -> None:
    assert destination.deliver(product_for(destination)).answer


def test_the_first_accepted_form_of_a_product_is_chosen(destination: Destination) -> None:
    unheard_of = Product("other", "1.2.826.0.1.3680043.10.999.1", "2.25.1", b"")
    older = Product("older", EnhancedSRStorage, "2.25.2", b"")
    if not isinstance(destination, FakeDestination | DicomDestination):  # takes every form
        assert destination.choose([unheard_of, older]) == unheard_of
        return
    if isinstance(destination, FakeDestination):
        destination.classes = [EnhancedSRStorage]
    assert destination.choose([unheard_of, older]) == older
    with pytest.raises(DeliveryFailed, match="accepts no"):
        destination.choose([unheard_of])


def test_the_same_product_twice_is_acknowledged_twice(destination: Destination) -> None:
    product = product_for(destination)
    assert destination.deliver(product) == destination.deliver(product)


def test_an_echo_is_answered(destination: Destination) -> None:
    assert destination.echo().answer


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of pynetdicom
def test_a_destination_without_a_peer_is_unreachable(silent: Destination) -> None:
    with pytest.raises(DestinationUnreachable, match="answer"):
        silent.deliver(product_for(silent))
    with pytest.raises(DestinationUnreachable, match="answer"):
        silent.echo()


def test_success_is_reported_in_the_terms_of_the_standard(tmp_path: Path, product: Product) -> None:
    with orthanc(tmp_path) as server:
        assert dicom(server.dicom_port).deliver(product).answer == "0x0000 Success"
        assert dicom(server.dicom_port).echo().answer == "0x0000 Success"


def test_a_host_that_does_not_resolve_is_a_failure(product: Product) -> None:
    settings = DicomDestinationSettings(
        name="pacs", ae_title="A", host="no-such-host.invalid", port=104, without_tls=True
    )
    with pytest.raises(DeliveryFailed, match="no-such-host.invalid: "):
        DicomDestination("CMRTRIAGE", settings).deliver(product)


def test_orthanc_stores_the_data_set_byte_for_byte(tmp_path: Path, product: Product) -> None:
    with orthanc(tmp_path) as server:
        dicom(server.dicom_port).deliver(product)
        (stored,) = server.reports()
    # Only the data set: each application writes its own file meta information.
    assert stored[-1000:] == product.content[-1000:]


@pytest.mark.parametrize(
    ("accepted", "arrives"),
    [
        ((Comprehensive3DSRStorage, ComprehensiveSRStorage), Comprehensive3DSRStorage),
        ((EnhancedSRStorage, ComprehensiveSRStorage), ComprehensiveSRStorage),
        ((EnhancedSRStorage,), EnhancedSRStorage),
    ],
)
def test_a_pacs_gets_the_best_form_of_a_report_that_its_association_accepts(
    accepted: tuple[UID, ...], arrives: UID
) -> None:
    stored: list[Dataset] = []

    def keep(event: evt.Event) -> int:
        stored.append(event.dataset)
        return 0

    ae = AE(ae_title="PACS")
    for sop_class_uid in accepted:
        ae.add_supported_context(sop_class_uid)
    port = find_free_port()
    server = ae.start_server((HOST, port), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    assert server is not None
    forms = list(build_products(reporting(mixed()), ["structured_report"]))
    destination = dicom(port, "PACS")
    destination.deliver(destination.choose(forms))
    server.shutdown()
    (document,) = stored
    assert document.SOPClassUID == arrives
    assert document.SOPInstanceUID in {form.sop_instance_uid for form in forms}


@pytest.fixture
def answering(request: pytest.FixtureRequest) -> Iterator[int]:
    """Yield the port of a PACS that answers every C-STORE with the test's status."""
    ae = AE(ae_title="PACS")
    ae.supported_contexts = AllStoragePresentationContexts
    port = find_free_port()
    handlers = [(evt.EVT_C_STORE, lambda _event: request.param)]
    server = ae.start_server((HOST, port), block=False, evt_handlers=handlers)  # type: ignore[arg-type]
    assert server is not None
    yield port
    server.shutdown()


@pytest.mark.parametrize(
    ("answering", "expected"),
    [
        (0xA700, "0xA700 Out of resources"),
        (0xA801, "0xA801 a status"),
        (0xC210, "0xC210 Cannot understand"),
        (0x0210, "0x0210 a status"),
        (0x0110, "0x0110 a status"),
    ],
    indirect=["answering"],
)
def test_a_failure_status_is_a_failure(answering: int, expected: str, product: Product) -> None:
    with pytest.raises(DeliveryFailed, match=expected):
        dicom(answering, "PACS").deliver(product)


@pytest.mark.parametrize(
    "answering", [0x0001, 0x0107, 0x0111, 0x0116, 0xB000, 0xB001, 0xB007, 0xBFFF], indirect=True
)
def test_a_warning_counts_as_stored_and_is_kept(answering: int, product: Product) -> None:
    assert dicom(answering, "PACS").deliver(product).answer.startswith(("0x0", "0xB"))


def test_a_pacs_that_does_not_accept_the_sop_class_is_named_at_once(product: Product) -> None:
    ae = AE(ae_title="PACS")
    ae.add_supported_context("1.2.840.10008.5.1.4.1.1.4")
    port = find_free_port()
    server = ae.start_server((HOST, port), block=False)
    assert server is not None
    with pytest.raises(DeliveryFailed, match="accepts no Comprehensive 3D SR Storage"):
        dicom(port, "PACS").deliver(product)
    server.shutdown()


def test_a_pacs_that_rejects_our_ae_title_is_named_with_its_reason(product: Product) -> None:
    ae = AE(ae_title="PACS")
    ae.supported_contexts = AllStoragePresentationContexts
    ae.require_calling_aet = ["SOMEBODY"]
    port = find_free_port()
    server = ae.start_server((HOST, port), block=False)
    assert server is not None
    with pytest.raises(DestinationUnreachable, match="rejected the association: Calling AE title"):
        dicom(port, "PACS").deliver(product)
    server.shutdown()
