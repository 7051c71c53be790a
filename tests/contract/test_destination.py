"""What every destination promises: the fake, a real PACS, a folder, a webhook, HL7.

Rule: each is sent what it takes, and each is the real thing with a real peer; what is its own
stands in a file of its own.
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
from tests.integration.servers import HOST, orthanc
from tests.peers import peer
from triage.cli.demo_site import find_free_port
from triage.config import (
    DicomDestination,
    FolderDestination,
    MllpDestination,
    StowDestination,
    WebhookDestination,
)
from triage.destinations.dicom import DicomStore
from triage.destinations.folder import FolderStore
from triage.destinations.mllp import MllpSender
from triage.destinations.stow import WebStore
from triage.destinations.webhook import WebhookSender
from triage.domain.delivery import Product
from triage.domain.errors import DeliveryFailed, DestinationUnreachable
from triage.ports.destination import Destination
from triage.reports import hl7, products, summary
from triage.reports.structured_report import build

DICOMWEB = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"


@pytest.fixture(scope="module")
def product() -> Product:
    return build(reporting(untrained()))


def for_(destination: Destination) -> Product:
    """Return a product that a destination takes."""
    said = reporting(untrained())
    made = [build(said), summary.build(said), hl7.build(said)]
    return next(each for each in made if each.media_type in destination.media_types)


def dicom(port: int, ae_title: str = "ORTHANC") -> DicomStore:
    settings = DicomDestination(name="pacs", ae_title=ae_title, host=HOST, port=port, timeout_s=2)
    return DicomStore("CMRTRIAGE", settings)


def folder(path: Path) -> FolderStore:
    return FolderStore("CMRTRIAGE", FolderDestination(name="out", kind="folder", path=path))


def webhook(url: str) -> WebhookSender:
    values = {"name": "hook", "kind": "webhook", "url": url, "secret": SECRET, "timeout_s": 2}
    return WebhookSender("CMRTRIAGE", WebhookDestination.model_validate(values))


def mllp(port: int) -> MllpSender:
    values = {"name": "ris", "kind": "mllp", "host": HOST, "port": port, "timeout_s": 2}
    return MllpSender("CMRTRIAGE", MllpDestination.model_validate(values))


def stow(port: int) -> WebStore:
    url = f"http://{HOST}:{port}/dicom-web"
    values = {"name": "web", "kind": "stow", "url": url, "timeout_s": 2}
    return WebStore("CMRTRIAGE", StowDestination.model_validate(values))


@pytest.fixture(params=["fake", "orthanc", "stow", "folder", "webhook", "mllp"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Destination]:
    """Yield each kind of destination, with its peer there."""
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
    """Return each kind of destination, with nobody there."""
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


def test_a_product_is_taken_and_acknowledged(destination: Destination) -> None:
    assert destination.deliver(for_(destination)).answer


def test_of_several_forms_the_first_that_is_taken_is_chosen(destination: Destination) -> None:
    unheard_of = Product("other", "1.2.826.0.1.3680043.10.999.1", "2.25.1", b"")
    older = Product("older", EnhancedSRStorage, "2.25.2", b"")
    if not isinstance(destination, FakeDestination | DicomStore):  # takes every form
        assert destination.choose([unheard_of, older]) == unheard_of
        return
    if isinstance(destination, FakeDestination):
        destination.classes = [EnhancedSRStorage]
    assert destination.choose([unheard_of, older]) == older
    with pytest.raises(DeliveryFailed, match="accepts no"):
        destination.choose([unheard_of])


def test_the_same_product_twice_is_acknowledged_twice(destination: Destination) -> None:
    product = for_(destination)
    assert destination.deliver(product) == destination.deliver(product)


def test_an_echo_is_answered(destination: Destination) -> None:
    assert destination.echo().answer


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of pynetdicom
def test_a_destination_that_is_not_there_is_silent(silent: Destination) -> None:
    with pytest.raises(DestinationUnreachable, match="answer"):
        silent.deliver(for_(silent))
    with pytest.raises(DestinationUnreachable, match="answer"):
        silent.echo()


def test_success_is_told_in_the_standards_words(tmp_path: Path, product: Product) -> None:
    with orthanc(tmp_path) as server:
        assert dicom(server.dicom_port).deliver(product).answer == "0x0000 Success"
        assert dicom(server.dicom_port).echo().answer == "0x0000 Success"


def test_a_host_that_does_not_resolve_is_a_failure(product: Product) -> None:
    settings = DicomDestination(name="pacs", ae_title="A", host="no-such-host.invalid", port=104)
    with pytest.raises(DeliveryFailed, match="no-such-host.invalid: "):
        DicomStore("CMRTRIAGE", settings).deliver(product)


def test_orthanc_holds_the_very_bytes_of_the_data_set(tmp_path: Path, product: Product) -> None:
    with orthanc(tmp_path) as server:
        dicom(server.dicom_port).deliver(product)
        (stored,) = server.reports()
    # The data set after the file meta information, which each application writes its own.
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
    forms = list(products(reporting(mixed()), ["structured_report"]))
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
    ("answering", "said"),
    [
        (0xA700, "0xA700 Out of resources"),
        (0xA801, "0xA801 a status"),
        (0xC210, "0xC210 Cannot understand"),
        (0x0210, "0x0210 a status"),
        (0x0110, "0x0110 a status"),
    ],
    indirect=["answering"],
)
def test_5_a_failure_status_is_a_failure(answering: int, said: str, product: Product) -> None:
    with pytest.raises(DeliveryFailed, match=said):
        dicom(answering, "PACS").deliver(product)


@pytest.mark.parametrize("answering", [0xB000, 0xB006, 0xB007], indirect=True)
def test_5_a_warning_is_stored_and_kept(answering: int, product: Product) -> None:
    assert dicom(answering, "PACS").deliver(product).answer.startswith("0xB00")


def test_11_a_pacs_that_takes_no_such_class_is_named_at_once(product: Product) -> None:
    ae = AE(ae_title="PACS")
    ae.add_supported_context("1.2.840.10008.5.1.4.1.1.4")
    port = find_free_port()
    server = ae.start_server((HOST, port), block=False)
    assert server is not None
    with pytest.raises(DeliveryFailed, match="accepts no Comprehensive 3D SR Storage"):
        dicom(port, "PACS").deliver(product)
    server.shutdown()


def test_a_pacs_that_does_not_know_us_is_named_with_its_reason(product: Product) -> None:
    ae = AE(ae_title="PACS")
    ae.supported_contexts = AllStoragePresentationContexts
    ae.require_calling_aet = ["SOMEBODY"]
    port = find_free_port()
    server = ae.start_server((HOST, port), block=False)
    assert server is not None
    with pytest.raises(DestinationUnreachable, match="rejected the association: Calling AE title"):
        dicom(port, "PACS").deliver(product)
    server.shutdown()
