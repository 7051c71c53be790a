"""STOW-RS: messages that cannot be read, and requests that are rejected."""

from pathlib import Path

import pytest
from dicomweb_client.api import DICOMwebClient
from requests import HTTPError

from receivers.stow.access import hash_token
from tests.builders.images import image, part10
from tests.integration.stow import TOKEN, ListeningStow, end_stow, start_stow
from tests.integration.stow_receiver.requests import (
    RELATED,
    body,
    curl,
    loaded,
    reasons,
)
from triage.config import StowSender


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "closing boundary"),
        (b"--b0undary--\r\n", "no instance"),
        (b"no multipart message", "closing boundary"),
        (body(part10(image()))[:-10], "closing boundary"),
        (body(b"x", close=False) + b"--b0undary junk", "not followed by a line end"),
        (b"--b0undary\r\nno header\r\n\r\n", "invalid header line"),
    ],
)
def test_an_unreadable_message_is_a_bad_request(
    receiver: ListeningStow, content: bytes, why: str
) -> None:
    told = curl(receiver, content)
    assert told.status in {400, 409}
    assert why in told.headers + told.content.decode()
    assert not receiver.kept()
    assert not receiver.on_the_way()
    assert [incident.calling_ae for incident in receiver.ledger.incidents()][:1] == ["MR1"]


def test_parts_before_a_broken_one_are_in_the_response(receiver: ListeningStow) -> None:
    content = body(part10(image(number=1)), part10(image(number=2)))[:-60]
    told = curl(receiver, content)
    assert told.status == 202
    module = told.module()
    (stored,) = module.ReferencedSOPSequence
    assert stored.ReferencedSOPInstanceUID == image(number=1).SOPInstanceUID
    assert reasons(module) == [0xC000]
    assert "closing boundary" in told.headers
    assert len(receiver.kept()) == 1


def test_more_parts_than_a_response_lists_are_refused(
    receiver: ListeningStow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("receivers.stow.storing.PARTS_MAX", 2)
    told = curl(receiver, body(*(part10(image(number=number)) for number in range(4))))
    assert told.status == 202
    assert len(told.module().ReferencedSOPSequence) == 2
    assert "several requests" in told.headers


@pytest.mark.parametrize(
    ("changed", "status", "says"),
    [
        ({"token": "wrong"}, 401, "triage token"),
        ({"content_type": "application/dicom"}, 415, "multipart/related"),
        ({"content_type": RELATED.replace("/dicom", "/dicom+json")}, 415, "Part 10"),
        ({"content_type": 'multipart/related; type="application/dicom"'}, 400, "boundary"),
        ({"content_type": RELATED + "x" * 200}, 400, "boundary"),
        ({"path": "/dicom-web/studies"}, 404, "/studies"),
        ({"path": "/studies/no-uid"}, 404, "/studies"),
    ],
)
def test_the_response_to_a_rejected_request_states_what_to_do(
    receiver: ListeningStow, changed: dict[str, str], status: int, says: str
) -> None:
    told = curl(receiver, body(part10(image())), **changed)
    assert told.status == status
    assert told.json()["status"] == status
    assert says in told.json()["detail"]
    assert not receiver.kept()


@pytest.mark.parametrize(
    ("option", "status"),
    [
        (("-H", "Content-Encoding: gzip"), 415),
        (("-H", "Accept: text/html"), 406),
        (("-X", "PUT"), 405),
    ],
)
def test_other_services_are_not_offered(
    receiver: ListeningStow, option: tuple[str, str], status: int
) -> None:
    assert curl(receiver, body(part10(image())), *option).status == status


def test_an_unknown_sender_is_asked_for_a_token_and_reported(
    receiver: ListeningStow,
) -> None:
    told = curl(receiver, body(part10(image())), token="")
    assert told.status == 401
    assert "www-authenticate: bearer" in told.headers.lower()
    with pytest.raises(HTTPError):
        DICOMwebClient(receiver.url).store_instances([loaded(image())])
    (incident,) = receiver.ledger.incidents()
    assert incident.kind == "rejected association"
    assert "STOW-RS: no token" in incident.detail


def test_a_sender_at_another_address_is_forbidden(tmp_path: Path) -> None:
    sender = StowSender(token=hash_token(TOKEN), addresses=("10.0.0.0/8",))
    running = start_stow(tmp_path, {"senders": {"MR1": sender}})
    told = curl(running, body(part10(image())))
    assert told.status == 403
    assert "address" in told.json()["detail"]
    end_stow(running)
