"""What thousands of connections, associations and instances cost the receiver.

Run with `-s` to see the figures: python -m pytest -s tests/benchmarks/test_gate.py
"""

import sys
import time
from pathlib import Path

from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from receivers.c_store.listener import SILENT_CONNECTIONS_MAX
from tests.builders.images import image
from tests.integration.listening_receiver import (
    ResourceUse,
    connect_silently,
    measure_resources,
    request_association,
    run_receiver,
    write_study,
)
from tests.integration.scp import dcmtk
from tests.waiting import wait_until
from triage.dimse.statuses import StoreStatus

CONNECTIONS = 10_000
ASSOCIATIONS = 500
INSTANCES = 5_000
#: What the allocator may keep; a thread or a copy of the contexts for each would be gigabytes.
SLACK_MB = 8.0


def printed(what: str, before: ResourceUse, after: ResourceUse, seconds: float) -> None:
    sys.stdout.write(f"\n{what}: {seconds:.1f} s\n  before {before}\n  after  {after}\n")


def test_connections_that_close_unheard(tmp_path: Path) -> None:
    with run_receiver(tmp_path) as receiver:
        for _ in range(200):
            connect_silently(receiver.port).close()
        before, began, most = measure_resources(), time.monotonic(), 0
        for number in range(CONNECTIONS):
            connect_silently(receiver.port).close()
            if number % 500 == 0:
                most = max(most, measure_resources().threads)
        wait_until(
            lambda: measure_resources().descriptors <= before.descriptors, what="the end of all"
        )
        after = measure_resources()
        printed(
            f"{CONNECTIONS} connections, closed at once", before, after, time.monotonic() - began
        )
        assert most <= before.threads
        assert after.threads <= before.threads
        assert after.megabytes <= before.megabytes + SLACK_MB
        assert request_association(receiver.port).is_established


def test_connections_that_stay_silent(tmp_path: Path) -> None:
    with run_receiver(tmp_path) as receiver:
        before, began, most = measure_resources(), time.monotonic(), 0
        held = []
        for number in range(CONNECTIONS):
            held.append(connect_silently(receiver.port))
            if len(held) > SILENT_CONNECTIONS_MAX:  # of which the receiver has closed the oldest
                held.pop(0).close()
            if number % 500 == 0:
                most = max(most, measure_resources().threads)
        during = measure_resources()
        assert request_association(receiver.port).is_established
        for each in held:
            each.close()
        wait_until(
            lambda: measure_resources().descriptors <= before.descriptors + 2, what="the end of all"
        )
        after = measure_resources()
        sys.stdout.write(f"\n  during {during}, at most {most} threads\n")
        printed(f"{CONNECTIONS} connections, silent", before, after, time.monotonic() - began)
        assert most <= before.threads
        assert after.megabytes <= before.megabytes + SLACK_MB


def test_one_association_for_each_file(tmp_path: Path) -> None:
    context = (MRImageStorage, ExplicitVRLittleEndian)
    with run_receiver(tmp_path) as receiver:
        before, began = measure_resources(), time.monotonic()
        for number in range(ASSOCIATIONS):
            association = request_association(receiver.port, context)
            assert association.send_c_store(image(number=number)).Status == StoreStatus.SUCCESS
            association.release()
        wait_until(
            lambda: measure_resources().descriptors <= before.descriptors + 3, what="the end of all"
        )
        printed(
            f"{ASSOCIATIONS} associations", before, measure_resources(), time.monotonic() - began
        )
        (study,) = receiver.ledger.list_studies()
    assert study.instances == ASSOCIATIONS


def test_many_instances_on_one_association(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "sent", INSTANCES)
    with run_receiver(tmp_path) as receiver:
        before, began = measure_resources(), time.monotonic()
        assert dcmtk("storescu", receiver.port, "+sd", str(folder)).returncode == 0
        printed(f"{INSTANCES} instances", before, measure_resources(), time.monotonic() - began)
        (study,) = receiver.ledger.list_studies()
    assert study.instances == INSTANCES
