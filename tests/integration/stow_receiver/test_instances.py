"""STOW-RS: which instances of a request are stored, and how a failure is answered."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import UID

from receivers.stow.answer import JSON, XML
from tests.builders.images import image, part10, uid
from tests.integration.servers import orthanc
from tests.integration.stow import TOKEN, ListeningStow
from tests.integration.stow_receiver.requests import (
    body,
    curl,
    loaded,
    reasons,
)
from tests.peers import peer
from tests.waiting import HOST
from triage.domain.errors import (
    BackpressureActive,
    LedgerUnavailable,
    SpoolFull,
)

ORTHANC_PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"


def test_dicomweb_client_stores_a_study(receiver: ListeningStow) -> None:
    images = [image(number=number) for number in range(5)]
    told = receiver.client().store_instances([loaded(each) for each in images], uid("study"))
    assert {each.ReferencedSOPInstanceUID for each in told.ReferencedSOPSequence} == {
        each.SOPInstanceUID for each in images
    }
    assert "FailedSOPSequence" not in told
    (study,) = receiver.ledger.list_studies()
    assert study.instances == 5
    assert receiver.ledger.list_sources(study.study_uid, 1) == {"MR1"}


def test_the_bytes_of_a_part_are_kept_unchanged(receiver: ListeningStow) -> None:
    contents = [part10(image(number=number)) for number in range(3)]
    assert curl(receiver, body(*contents)).status == 200
    assert receiver.kept() == set(contents)
    assert not receiver.on_the_way()


def test_a_duplicate_instance_is_stored_and_changes_nothing(receiver: ListeningStow) -> None:
    content = body(part10(image()))
    assert [curl(receiver, content).status for _ in range(2)] == [200, 200]
    (study,) = receiver.ledger.list_studies()
    assert study.instances == 1


def test_chunks_and_a_preamble_are_accepted(receiver: ListeningStow) -> None:
    content = b"This is a multi-part message.\r\n" + body(part10(image()))
    assert curl(receiver, content, "-H", "Transfer-Encoding: chunked").status == 200
    assert len(receiver.kept()) == 1


def test_the_response_is_xml_on_request(receiver: ListeningStow) -> None:
    told = curl(receiver, body(part10(image())), "-H", f"Accept: {XML}")
    assert told.status == 200
    assert f"content-type: {XML}" in told.headers.lower()
    assert image().SOPInstanceUID.encode() in told.content
    usual = curl(receiver, body(part10(image())))
    assert f"content-type: {JSON}\r\n" in usual.headers.lower() + "\r\n"


def test_orthanc_stores_what_it_has(receiver: ListeningStow, tmp_path: Path) -> None:
    remote = {"Url": receiver.url, "HttpHeaders": {"Authorization": f"Bearer {TOKEN}"}}
    web = {"Enable": True, "Servers": {"triage": remote}}
    plugin = peer(ORTHANC_PLUGIN)
    with orthanc(tmp_path / "orthanc", Plugins=[plugin], DicomWeb=web) as pacs:
        for number in range(4):
            (tmp_path / "one.dcm").write_bytes(part10(image(number=number)))
            upload = ["-s", "--data-binary", f"@{tmp_path / 'one.dcm'}"]
            url = f"http://{HOST}:{pacs.http_port}/instances"
            subprocess.run([peer("curl"), *upload, url], check=True, capture_output=True)
        resources = json.dumps({"Resources": pacs.get("/studies"), "Synchronous": True})
        pacs.post("/dicom-web/servers/triage/stow", resources)
    (study,) = receiver.ledger.list_studies()
    assert study.instances == 4
    assert not receiver.ledger.incidents()


def test_a_damaged_instance_fails_and_the_others_are_stored(receiver: ListeningStow) -> None:
    damaged = part10(image(number=2))[:-100]
    told = curl(receiver, body(part10(image(number=1)), damaged, part10(image(number=3))))
    assert told.status == 202
    module = told.module()
    assert len(module.ReferencedSOPSequence) == 2
    (failed,) = module.FailedSOPSequence
    assert failed.ReferencedSOPInstanceUID == image(number=2).SOPInstanceUID
    assert failed.FailureReason == 0xC000
    (incident,) = receiver.ledger.incidents()
    assert incident.calling_ae == "MR1"
    assert (receiver.state / incident.path).read_bytes() == damaged


def test_an_instance_of_another_study_than_the_uri_is_not_stored(
    receiver: ListeningStow,
) -> None:
    content = body(part10(image("study")), part10(image("other")))
    told = curl(receiver, content, path=f"/studies/{uid('study')}")
    assert told.status == 202
    assert reasons(told.module()) == [0xA900]
    assert curl(receiver, content, path="/studies/1.2.3").status == 409
    (study,) = receiver.ledger.list_studies()
    assert (study.study_uid, study.instances) == (uid("study"), 1)


def test_an_instance_without_storage_sop_class_is_not_stored(receiver: ListeningStow) -> None:
    directory = image(SOPClassUID=UID("1.2.840.10008.1.3.10"))
    told = curl(receiver, body(part10(directory)))
    assert (told.status, reasons(told.module())) == (409, [0x0122])
    assert not receiver.kept()
    assert not list((receiver.state / "quarantine").iterdir())


@pytest.mark.parametrize("part", [b"", b"no instance", b"\0" * 128 + b"DICM"])
def test_a_part_without_file_meta_information_fails_without_a_reference(
    receiver: ListeningStow, part: bytes
) -> None:
    told = curl(receiver, body(part))
    assert told.status == 409
    assert [each.FailureReason for each in told.module().OtherFailuresSequence] == [0xC000]


def test_a_part_of_another_media_type_fails(receiver: ListeningStow) -> None:
    told = curl(receiver, body(b"{}", content_type="application/dicom+json"))
    assert (told.status, reasons(told.module())) == (409, [0xC000])


def test_an_instance_that_is_too_large_fails_and_leaves_no_file(
    receiver: ListeningStow,
) -> None:
    large = part10(image(Rows=256, Columns=256, PixelData=bytes(256 * 256 * 2)))
    told = curl(receiver, body(large))
    assert (told.status, reasons(told.module())) == (413, [0xC001])
    assert "receiver.instance_bytes" in told.headers
    mixed = curl(receiver, body(large, part10(image(number=2))))
    assert (mixed.status, reasons(mixed.module())) == (202, [0xC001])
    assert len(receiver.kept()) == 1
    assert not receiver.on_the_way()


def test_without_room_the_sender_is_asked_to_retry(
    receiver: ListeningStow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise SpoolFull("no room left")

    with monkeypatch.context() as patch:
        patch.setattr(receiver.intake._spool, "open_staging_file", full)
        told = curl(receiver, body(part10(image())))
    assert (told.status, reasons(told.module())) == (503, [0xA700])
    assert "retry-after: " in told.headers.lower()
    assert curl(receiver, body(part10(image()))).status == 200


def test_refusals_are_counted_by_failure_reason(
    receiver: ListeningStow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held_back() -> None:
        raise BackpressureActive("less than receiver.free_bytes is left")

    with monkeypatch.context() as patch:
        patch.setattr(receiver.intake._pressure, "check_room", held_back)
        told = curl(receiver, body(part10(image())))
    assert (told.status, reasons(told.module())) == (503, [0xA700])
    assert "retry-after: " in told.headers.lower()
    assert curl(receiver, body(b"damaged")).status == 409
    counted = receiver.intake.metrics.registry.get_sample_value
    for status in ("0xA700", "0xC000"):
        assert counted("triage_instances_refused_total", {"status": status}) == 1


def test_an_unavailable_ledger_stores_nothing(
    receiver: ListeningStow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise LedgerUnavailable("database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(receiver.ledger, "record_instance", away)
        assert curl(receiver, body(part10(image()))).status == 503
    assert receiver.intake.needs_recovery
    assert curl(receiver, body(part10(image()))).status == 200


def test_a_defect_fails_one_instance_and_not_the_request(
    receiver: ListeningStow, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept, calls = receiver.intake.accept_file, []

    def defective(*arguments: Any, **named: Any) -> object:
        calls.append(arguments)
        if len(calls) == 1:
            raise ZeroDivisionError
        return accept(*arguments, **named)

    monkeypatch.setattr(receiver.intake, "accept_file", defective)
    told = curl(receiver, body(part10(image(number=1)), part10(image(number=2))))
    assert (told.status, reasons(told.module())) == (202, [0x0110])
    assert not receiver.on_the_way()
