import json
from http import HTTPStatus
from io import BytesIO
from xml.etree import ElementTree as ET

import pytest
from pydicom import Dataset
from pydicom.datadict import dictionary_VR, keyword_for_tag

from receivers.stow import answer as module
from receivers.stow.answer import (
    JSON,
    XML,
    StowFailureReason,
    StowReference,
    StowResponse,
    choose_media_type,
)

ONE, TWO = StowReference("1.2", "1.2.3"), StowReference("1.2", "1.2.4")


def everything() -> StowResponse:
    return StowResponse(
        [ONE],
        [(TWO, StowFailureReason.DATA_SET_DOES_NOT_MATCH)],
        [StowFailureReason.CANNOT_UNDERSTAND],
    )


def test_pydicom_reads_the_module() -> None:
    told = Dataset.from_json(json.loads(everything().as_json()))
    assert not told.RetrieveURL
    (stored,) = told.ReferencedSOPSequence
    assert (stored.ReferencedSOPClassUID, stored.ReferencedSOPInstanceUID) == ("1.2", "1.2.3")
    assert not stored.RetrieveURL  # type 2: there is no way to fetch it
    (failed,) = told.FailedSOPSequence
    assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == ("1.2.4", 0xA900)
    (other,) = told.OtherFailuresSequence
    assert other.FailureReason == 0xC000


def test_json_and_xml_have_the_same_content() -> None:
    root = ET.parse(BytesIO(everything().as_xml())).getroot()  # noqa: S314 - our own
    assert root.tag == f"{{{module.NAMESPACE}}}NativeDicomModel"
    assert _attributes(root) == json.loads(everything().as_json())


def _attributes(parent: ET.Element) -> dict[str, object]:
    """Return a Native DICOM Model (PS3.19 A.1) as the JSON model has it (PS3.18 F.2)."""
    found: dict[str, object] = {}
    for attribute in parent:
        content: dict[str, object] = {"vr": attribute.attrib["vr"]}
        values = [
            _attributes(each) if each.tag.endswith("Item") else _value(attribute, each.text or "")
            for each in attribute
        ]
        if values:
            content["Value"] = values
        found[attribute.attrib["tag"]] = content
    return found


def _value(attribute: ET.Element, text: str) -> str | int:
    return int(text) if attribute.attrib["vr"] == "US" else text


def test_every_attribute_has_its_name_in_the_dictionary() -> None:
    attributes = [each for each in vars(module).values() if isinstance(each, module._Attribute)]
    assert len(attributes) == 7
    for each in attributes:
        tag = int(each.tag, 16)
        assert (keyword_for_tag(tag), dictionary_VR(tag)) == (each.keyword, each.vr)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (StowResponse([ONE]), 200),
        (everything(), 202),
        (StowResponse([ONE], cut=(HTTPStatus.BAD_REQUEST, "")), 202),
        (StowResponse(failed=[(ONE, StowFailureReason.DATA_SET_DOES_NOT_MATCH)]), 409),
        (StowResponse(failed=[(ONE, StowFailureReason.OUT_OF_RESOURCES)]), 503),
        (
            StowResponse(
                failed=[(ONE, StowFailureReason.TOO_LARGE)], unnamed=[StowFailureReason.TOO_LARGE]
            ),
            413,
        ),
        (
            StowResponse(
                failed=[
                    (ONE, StowFailureReason.TOO_LARGE),
                    (TWO, StowFailureReason.OUT_OF_RESOURCES),
                ]
            ),
            409,
        ),
    ],
)
def test_the_status_distinguishes_all_some_and_none_stored(
    answer: StowResponse, status: int
) -> None:
    assert answer.status == status


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ([], JSON),
        ([("*/*", 1.0)], JSON),
        ([("application/json", 1.0)], JSON),
        ([(XML, 1.0)], XML),
        ([(XML, 1.0), (JSON, 0.5)], XML),
        ([(XML, 0.5), ("*/*", 0.5)], JSON),
        ([("text/html", 1.0)], None),
        ([(JSON, 0.0)], None),
    ],
)
def test_the_response_has_the_accepted_media_type(
    accept: list[tuple[str, float]], wanted: str | None
) -> None:
    assert choose_media_type(accept) == wanted
