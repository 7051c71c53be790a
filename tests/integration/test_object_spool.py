"""The spool in a real object store: acknowledgements, outages and recovery."""

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE

import receivers.c_store
from tests.builders.evidence_collectors import ImmediateExecutor
from tests.builders.images import image, part10, uid
from tests.contract.ledgers import SOURCE
from tests.fakes import FakeClock
from tests.integration.object_store import BUCKET, ObjectStore, object_store
from tests.waiting import HOST
from triage.cli.demo_site import find_free_port
from triage.config import ReceiverSettings
from triage.dicom.header import read_identity
from triage.dimse.association import CONNECTION_SETUP
from triage.dimse.statuses import StoreStatus
from triage.domain.commitment import CommitmentReport, FailureReason, Reference
from triage.domain.errors import ConfigurationError, LedgerUnavailable, SpoolUnavailable
from triage.domain.instance import ReceiptOutcome
from triage.pipeline.backpressure import Backpressure, BackpressureLimits
from triage.pipeline.intake import Intake
from triage.pipeline.storage_commitment_scp import SAME_ASSOCIATION_S, CommitmentScp
from triage.store.bucket import Bucket
from triage.store.commitments import SqlCommitments
from triage.store.ledger import SqlLedger
from triage.store.object_spool import ObjectSpool

PREFIXES = count()
MR = "1.2.840.10008.5.1.4.1.1.4"
LARGE = 256_000_000
#: Sends a large file in a separate process, which prints its peak memory.
SENDER = """
import sys
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from triage.config import SpoolSettings
from triage.store.bucket import Bucket
bucket = Bucket(SpoolSettings.model_validate_json(sys.argv[1]))
bucket.check_reachable()
before = getrusage(RUSAGE_SELF).ru_maxrss
assert bucket.put("large", Path(sys.argv[2]), sys.argv[3])
bucket.read("large", lambda piece: None)
print((getrusage(RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_store(tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture
def prefix() -> str:
    return f"site-{next(PREFIXES)}"


@pytest.fixture
def spool(server: ObjectStore, prefix: str, tmp_path: Path) -> ObjectSpool:
    return ObjectSpool(Bucket(server.settings(prefix)), tmp_path)


@dataclass
class ObjectSpoolSite:
    """A receiver with its spool in an object store."""

    port: int
    intake: Intake
    seconds: FakeClock  #: clock of its back-pressure

    def statuses(self, *numbers: int) -> list[int]:
        """Return the C-STORE statuses of instances sent on one association."""
        ae = AE(ae_title="PACS")
        ae.add_requested_context(MR)
        association = ae.associate(
            HOST, self.port, ae_title="CMRTRIAGE", evt_handlers=[CONNECTION_SETUP]
        )
        assert association.is_established
        answers = [int(association.send_c_store(image(number=n)).Status) for n in numbers]
        association.release()
        return answers


@pytest.fixture(params=[False, True], ids=["plain", "fast"])
def site(
    spool: ObjectSpool, ledger: SqlLedger, request: pytest.FixtureRequest
) -> Iterator[ObjectSpoolSite]:
    seconds = FakeClock()
    pressure = Backpressure(spool, ledger, BackpressureLimits(), monotonic=seconds.now)
    intake = Intake(spool, ledger, pressure=pressure)
    settings = ReceiverSettings(port=find_free_port(), calling=("PACS",), fast=request.param)
    listening = receivers.c_store.start(intake, settings)
    yield ObjectSpoolSite(settings.plain_port(), intake, seconds)
    listening.end()


def test_nothing_is_acknowledged_during_an_outage_and_everything_after_it(
    site: ObjectSpoolSite, server: ObjectStore, prefix: str, tmp_path: Path
) -> None:
    assert site.statuses(1, 2) == [StoreStatus.SUCCESS] * 2
    server.pause()
    try:
        began = time.monotonic()
        assert site.statuses(3, 4, 5) == [StoreStatus.OUT_OF_RESOURCES] * 3
        assert time.monotonic() - began < 15  # only one timeout
        site.seconds.pass_s(1)
        site.intake.update_load()
        began = time.monotonic()
        assert site.statuses(*range(3, 50)) == [StoreStatus.OUT_OF_RESOURCES] * 47
        assert time.monotonic() - began < 15
    finally:
        server.go_on()
    site.seconds.pass_s(1)
    site.intake.update_load()
    assert site.statuses(1, 2, 3, 4, 5) == [StoreStatus.SUCCESS] * 5
    assert len(server.keys(f"{prefix}/spool/")) == 5
    assert list((tmp_path / "spool" / "incoming").iterdir()) == []


def test_instances_missing_from_the_ledger_are_recorded_at_the_next_start(
    spool: ObjectSpool, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake = Intake(spool, ledger)

    def busy(*_: object) -> None:
        raise LedgerUnavailable("busy")

    with monkeypatch.context() as patch, pytest.raises(LedgerUnavailable):
        patch.setattr(ledger, "record_instance", busy)
        intake.accept(part10(image(number=1)), SOURCE)
    spool.keep(read_identity(part10(image(number=2))), part10(image(number=2)))
    assert ledger.list_known_paths() == set()
    assert intake.recover() == 2
    assert ledger.list_known_paths() == set(spool.list_paths())
    assert intake.recover() == 0


def test_a_damaged_object_is_quarantined_and_blocks_no_other(
    spool: ObjectSpool, ledger: SqlLedger, server: ObjectStore, prefix: str
) -> None:
    server.client().put_object(Bucket=BUCKET, Key=f"{prefix}/spool/1.2/3.dcm", Body=b"damaged")
    content = part10(image())
    spool.keep(read_identity(content), content)
    assert Intake(spool, ledger).recover() == 1
    assert len(list(spool.list_paths())) == 1
    (kept,) = server.keys(f"{prefix}/quarantine/")
    assert kept.endswith(f"{hashlib.sha256(b'damaged').hexdigest()}.bin")


def test_an_object_removed_during_comparison_is_requested_again(
    spool: ObjectSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = part10(image())
    receipt = spool.keep(read_identity(content), content)
    put = Bucket.put

    def put_and_lose(bucket: Bucket, key: str, path: Path, digest: str) -> bool:
        is_new = put(bucket, key, path, digest)
        spool.discard(receipt.path)
        return is_new

    with (
        monkeypatch.context() as patch,
        pytest.raises(SpoolUnavailable, match="send the instance again"),
    ):
        patch.setattr(Bucket, "put", put_and_lose)
        spool.keep(read_identity(content), content)
    assert spool.keep(read_identity(content), content).outcome is ReceiptOutcome.NEW


def test_recovery_waits_during_an_outage(
    spool: ObjectSpool, ledger: SqlLedger, server: ObjectStore
) -> None:
    intake = Intake(spool, ledger)
    server.pause()
    try:
        with pytest.raises(SpoolUnavailable):
            intake.recover()
        assert intake.needs_recovery
    finally:
        server.go_on()


def test_commitment_checks_the_stored_object_and_waits_during_an_outage(
    spool: ObjectSpool, ledger: SqlLedger, clock: FakeClock, server: ObjectStore
) -> None:
    told: list[CommitmentReport] = []
    requests = SqlCommitments(ledger._database, clock)
    committer = CommitmentScp(requests, ledger, spool, {"MR1": told.append}, ImmediateExecutor(), 3)
    intake = Intake(spool, ledger)
    receipts = [intake.accept(part10(image(number=n)), SOURCE) for n in range(2)]
    spool.discard(receipts[1].path)
    asked = [Reference(MR, uid("study", "series", number)) for number in range(2)]
    committer.accept_request("MR1", "1.2.3", asked)
    clock.pass_s(SAME_ASSOCIATION_S)
    server.pause()
    try:
        committer.tick()
        assert told == []
    finally:
        server.go_on()
    spool.measure_free_bytes()  # sends a request, as the receiver does every second
    committer.tick()
    (report,) = told
    assert report.committed == (asked[0],)
    assert report.failed == ((asked[1], FailureReason.PROCESSING_FAILURE),)


def test_a_store_that_overwrites_in_multipart_uploads_is_rejected(
    server: ObjectStore, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket(server.settings(prefix))
    complete = bucket._client.complete_multipart_upload

    def as_older_stores(**request: Any) -> Any:
        """Ignore the condition."""
        return complete(**{name: request[name] for name in request if name != "IfNoneMatch"})

    monkeypatch.setattr(bucket._client, "complete_multipart_upload", as_older_stores)
    with pytest.raises(ConfigurationError, match="overwrites existing objects"):
        bucket.probe()
    with pytest.raises(SpoolUnavailable, match="overwrites existing objects"):
        ObjectSpool(bucket, tmp_path).quarantine(b"damaged")
    assert server.keys(f"{prefix}/") == []


def test_an_upload_left_by_a_crash_is_aborted(
    spool: ObjectSpool, server: ObjectStore, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = server.client()

    def begun() -> list[str]:
        found = client.list_multipart_uploads(Bucket=BUCKET, Prefix=f"{prefix}/")
        return [upload["Key"] for upload in found.get("Uploads", ())]

    client.create_multipart_upload(Bucket=BUCKET, Key=f"{prefix}/spool/1/2.dcm")
    spool.sweep()
    assert begun() == [f"{prefix}/spool/1/2.dcm"]  # another receiver may be using it
    monkeypatch.setattr("triage.store.object_spool.ABANDONED_S", -1)
    spool.sweep()
    assert begun() == []


def test_a_large_instance_is_transferred_without_holding_it_in_memory(
    server: ObjectStore, prefix: str, tmp_path: Path
) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(LARGE)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    arguments = [server.settings(prefix).model_dump_json(), str(path), digest]
    command = [sys.executable, "-c", SENDER, *arguments]
    took = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert int(took) < 100, "MB"
