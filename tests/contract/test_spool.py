"""Contract of the spool: files, and an object store."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from tests.builders.images import image, part10
from tests.integration.object_store import ObjectStore, object_store
from triage.dicom.header import read_identity
from triage.domain.errors import DamagedInstance
from triage.domain.instance import ReceiptOutcome
from triage.ports.spool import Spool
from triage.store.bucket import PART, Bucket
from triage.store.object_spool import ObjectSpool
from triage.store.spool import FileSpool

CONTENT = part10(image())
OTHER = part10(image(SeriesDescription="changed"))
IDENTITY = read_identity(CONTENT)
OWN_NAME = f"{IDENTITY.study_uid}/{IDENTITY.sop_instance_uid}.dcm"
PREFIXES = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_store(tmp_path_factory.mktemp("store")) as running:
        yield running


Put = Callable[[str, bytes], None]  #: writes a file into a spool, bypassing its interface


@pytest.fixture(params=["files", "objects"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Callable[[], Spool], Put]:
    """Return a function that opens the spool, and one that writes a file into it."""
    if request.param == "files":

        def put_file(path: str, content: bytes) -> None:
            place = tmp_path / "spool" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)

        return lambda: FileSpool(tmp_path), put_file

    server: ObjectStore = request.getfixturevalue("server")
    prefix = f"site-{next(PREFIXES)}"

    def put_object(path: str, content: bytes) -> None:
        key = f"{prefix}/spool/{path}"
        server.client().put_object(Bucket="hospital", Key=key, Body=content)

    return lambda: ObjectSpool(Bucket(server.settings(prefix)), tmp_path), put_object


@pytest.fixture
def spool(opened: tuple[Callable[[], Spool], Put]) -> Spool:
    return opened[0]()


@pytest.fixture
def put(opened: tuple[Callable[[], Spool], Put]) -> Put:
    return opened[1]


def test_a_stored_instance_is_visible_to_other_processes(
    opened: tuple[Callable[[], Spool], Put],
) -> None:
    receipt = opened[0]().keep(IDENTITY, CONTENT)
    assert (receipt.outcome, receipt.path) == (ReceiptOutcome.NEW, OWN_NAME)
    another = opened[0]()
    assert another.read(receipt.path) == CONTENT
    assert list(another.list_paths()) == [receipt.path]


def test_storing_a_staging_file_removes_it(spool: Spool) -> None:
    with spool.open_staging_file() as aside:
        aside.write(CONTENT[:100])
        aside.write(memoryview(CONTENT)[100:])
        aside.close()
        receipt = spool.keep_file(IDENTITY, aside)
        assert not aside.path.exists()
    assert (receipt.outcome, receipt.digest) == (ReceiptOutcome.NEW, aside.digest)
    assert spool.read(receipt.path) == CONTENT


def test_storing_the_same_bytes_again_changes_nothing(spool: Spool) -> None:
    first = spool.keep(IDENTITY, CONTENT)
    again = spool.keep(IDENTITY, CONTENT)
    assert (again.outcome, again.path) == (ReceiptOutcome.DUPLICATE, first.path)
    assert list(spool.list_paths()) == [first.path]


def test_the_same_data_set_with_other_meta_information_is_a_duplicate(spool: Spool) -> None:
    again = image()
    again.file_meta.ImplementationVersionName = "ANOTHER"
    spool.keep(IDENTITY, CONTENT)
    assert spool.keep(IDENTITY, part10(again)).outcome is ReceiptOutcome.DUPLICATE
    assert spool.read(OWN_NAME) == CONTENT


def test_other_bytes_under_the_same_uid_are_stored_as_a_conflict(spool: Spool) -> None:
    first = spool.keep(IDENTITY, CONTENT)
    other = spool.keep(IDENTITY, OTHER)
    again = spool.keep(IDENTITY, OTHER)
    assert (other.outcome, again.outcome) == (ReceiptOutcome.CONFLICT, ReceiptOutcome.CONFLICT)
    assert other.path == again.path
    assert spool.read(first.path) == CONTENT
    assert spool.read(other.path) == OTHER
    assert list(spool.list_paths()) == [first.path]
    assert {spool.name_first_copy(each.path) for each in (first, other)} == {first.path}


def test_concurrent_stores_leave_one_complete_instance(spool: Spool) -> None:
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda _: spool.keep(IDENTITY, CONTENT), range(32)))
    assert [r.outcome for r in receipts].count(ReceiptOutcome.NEW) == 1
    assert spool.read(receipts[0].path) == CONTENT


def test_an_instance_of_many_parts_is_returned_unchanged(spool: Spool) -> None:
    rows = columns = 512
    frames = PART // (rows * columns * 2) + 1
    pixels = bytes(range(256)) * (rows * columns * 2 * frames // 256)
    large = image(Rows=rows, Columns=columns, NumberOfFrames=frames, PixelData=pixels)
    content = part10(large)
    assert len(content) > PART
    receipt = spool.keep(read_identity(content), content)
    again = spool.keep(read_identity(content), content)
    assert (receipt.outcome, again.outcome) == (ReceiptOutcome.NEW, ReceiptOutcome.DUPLICATE)
    assert spool.read(receipt.path) == content
    assert spool.examine(receipt.path).digest == receipt.digest
    bent = content[:-1] + b"\1"
    assert spool.keep(read_identity(bent), bent).outcome is ReceiptOutcome.CONFLICT


def test_quarantined_bytes_are_stored_under_their_digest(spool: Spool) -> None:
    path = spool.quarantine(b"damaged")
    assert path.startswith("quarantine/")
    assert spool.quarantine(b"damaged") == path
    with spool.open_staging_file() as aside:
        aside.write(b"damaged")
        aside.close()
        assert spool.quarantine_file(aside) == path
    assert list(spool.list_paths()) == []


def test_examining_returns_the_receipt_of_the_store(spool: Spool) -> None:
    receipt = spool.keep(IDENTITY, CONTENT)
    examined = spool.examine(receipt.path)
    assert examined.outcome is ReceiptOutcome.DUPLICATE
    assert (examined.identity, examined.digest) == (IDENTITY, receipt.digest)


def test_examining_a_misnamed_file_stores_it_under_its_name(spool: Spool, put: Put) -> None:
    put("1.2/3.dcm", CONTENT)
    receipt = spool.examine("1.2/3.dcm")
    assert (receipt.path, receipt.outcome) == (OWN_NAME, ReceiptOutcome.NEW)
    assert sorted(spool.list_paths()) == sorted([OWN_NAME, "1.2/3.dcm"])
    spool.discard("1.2/3.dcm")
    assert list(spool.list_paths()) == [OWN_NAME]
    assert spool.read(OWN_NAME) == CONTENT


def test_examining_other_bytes_raises_damaged_instance(spool: Spool, put: Put) -> None:
    put("1.2/3.dcm", b"no instance")
    with pytest.raises(DamagedInstance):
        spool.examine("1.2/3.dcm")


def test_a_missing_file_raises_an_os_error(spool: Spool) -> None:
    with pytest.raises(FileNotFoundError):
        spool.read(OWN_NAME)
    with pytest.raises(FileNotFoundError):
        spool.examine(OWN_NAME)


def test_free_space_is_reported_and_a_probe_leaves_nothing(spool: Spool, tmp_path: Path) -> None:
    spool.probe()
    assert spool.measure_free_bytes() > 0
    assert (spool.measure_free_bytes_where_kept() is None) == isinstance(spool, ObjectSpool)
    assert list(spool.list_paths()) == []
    assert list((tmp_path / "spool" / "incoming").iterdir()) == []


def test_sweep_removes_no_stored_file(spool: Spool) -> None:
    receipt = spool.keep(IDENTITY, CONTENT)
    spool.sweep()
    assert spool.read(receipt.path) == CONTENT


def test_files_of_a_study_are_listed_and_removed(spool: Spool) -> None:
    first, other = spool.keep(IDENTITY, CONTENT), spool.keep(IDENTITY, OTHER)
    found = spool.list_files(IDENTITY.study_uid)
    assert {stored.path for stored in found} == {first.path, other.path}
    assert sum(stored.size for stored in found) == len(CONTENT) + len(OTHER)
    spool.remove([first.path, other.path, first.path])
    assert not spool.list_files(IDENTITY.study_uid)
    assert not list(spool.list_paths())
    assert spool.keep(IDENTITY, CONTENT).outcome is ReceiptOutcome.NEW


def test_quarantined_files_are_listed_and_removed(spool: Spool) -> None:
    path = spool.quarantine(b"no instance")
    (lying,) = spool.list_quarantined()
    assert (lying.path, lying.size) == (path, len(b"no instance"))
    spool.remove_quarantined([path, path])
    assert not spool.list_quarantined()
