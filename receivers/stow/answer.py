"""The response to a STOW-RS request: the Store Instances Response Module (PS3.18 annex I).

The Referenced SOP Sequence contains the instances that are durable, and no others. This program has
no retrieve service, so every Retrieve URL (type 2) is empty.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from http import HTTPStatus
from xml.etree import ElementTree as ET

from triage.dimse.statuses import StoreStatus

JSON, XML = "application/dicom+json", "application/dicom+xml"
NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"


class StowFailureReason(IntEnum):
    """Failure Reason (0008,1197), PS3.18 I.2.2."""

    PROCESSING_FAILURE = 0x0110
    CLASS_NOT_SUPPORTED = 0x0122
    OUT_OF_RESOURCES = StoreStatus.OUT_OF_RESOURCES
    DATA_SET_DOES_NOT_MATCH = StoreStatus.DATA_SET_DOES_NOT_MATCH
    CANNOT_UNDERSTAND = StoreStatus.CANNOT_UNDERSTAND
    TOO_LARGE = StoreStatus.TOO_LARGE


@dataclass(frozen=True)
class StowReference:
    """A reference to an instance (PS3.3 table 10-11)."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass
class StowResponse:
    """The outcome of each part of a request."""

    stored: list[StowReference] = field(default_factory=list)
    failed: list[tuple[StowReference, StowFailureReason]] = field(default_factory=list)
    #: Reasons for failed parts without readable file meta information.
    unnamed: list[StowFailureReason] = field(default_factory=list)
    #: Why the request was not read to its end, and the status if nothing was stored before.
    cut: tuple[HTTPStatus, str] | None = None

    def fail(self, reference: StowReference | None, reason: StowFailureReason) -> None:
        """Add a part that was not stored; `reference` is None if its identity is unknown."""
        if reference is None:
            self.unnamed.append(reason)
        else:
            self.failed.append((reference, reason))

    @property
    def is_empty(self) -> bool:
        """True if no part was read to its end."""
        return not (self.stored or self.failed or self.unnamed)

    @property
    def status(self) -> HTTPStatus:
        """The HTTP status (PS3.18 table 10.5.3-1)."""
        reasons = {*(reason for _, reason in self.failed), *self.unnamed}
        if self.stored:
            return HTTPStatus.ACCEPTED if reasons or self.cut else HTTPStatus.OK
        if reasons == {StowFailureReason.OUT_OF_RESOURCES}:
            return HTTPStatus.SERVICE_UNAVAILABLE
        if reasons == {StowFailureReason.TOO_LARGE}:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        return HTTPStatus.CONFLICT

    def as_json(self) -> bytes:
        """Return the module in the DICOM JSON Model, PS3.18 annex F."""
        return json.dumps(_convert_to_json(self._module())).encode()

    def as_xml(self) -> bytes:
        """Return the module in the Native DICOM Model, PS3.19 annex A."""
        root = ET.Element("NativeDicomModel", {"xmlns": NAMESPACE, "xml:space": "preserve"})
        _fill_xml(root, self._module())
        return bytes(ET.tostring(root, "utf-8", xml_declaration=True))

    def _module(self) -> "_Item":
        unread = [StowFailureReason.CANNOT_UNDERSTAND] if self.cut else []
        failures: list[_Item] = [
            [*_reference_attributes(reference), (FAILURE_REASON, int(reason))]
            for reference, reason in self.failed
        ]
        stored: list[_Item] = [
            [*_reference_attributes(reference), (RETRIEVE_URL, None)] for reference in self.stored
        ]
        others: list[_Item] = [
            [(FAILURE_REASON, int(reason))] for reason in (*self.unnamed, *unread)
        ]
        module: _Item = [(RETRIEVE_URL, None)]
        module += [(FAILED_SOP, failures)] if failures else []
        module += [(REFERENCED_SOP, stored)] if stored else []
        module += [(OTHER_FAILURES, others)] if others else []
        return module


@dataclass(frozen=True)
class _Attribute:
    tag: str
    vr: str
    keyword: str


RETRIEVE_URL = _Attribute("00081190", "UR", "RetrieveURL")
FAILURE_REASON = _Attribute("00081197", "US", "FailureReason")
FAILED_SOP = _Attribute("00081198", "SQ", "FailedSOPSequence")
REFERENCED_SOP = _Attribute("00081199", "SQ", "ReferencedSOPSequence")
OTHER_FAILURES = _Attribute("0008119A", "SQ", "OtherFailuresSequence")
REFERENCED_SOP_CLASS = _Attribute("00081150", "UI", "ReferencedSOPClassUID")
REFERENCED_SOP_INSTANCE = _Attribute("00081155", "UI", "ReferencedSOPInstanceUID")

#: Attributes in the order of their tags, each with its value; None: empty.
_Item = list[tuple[_Attribute, "str | int | list[_Item] | None"]]


def _reference_attributes(reference: StowReference) -> _Item:
    return [
        (REFERENCED_SOP_CLASS, reference.sop_class_uid),
        (REFERENCED_SOP_INSTANCE, reference.sop_instance_uid),
    ]


def _convert_to_json(item: _Item) -> dict[str, object]:
    converted: dict[str, object] = {}
    for attribute, value in item:
        content: dict[str, object] = {"vr": attribute.vr}
        if isinstance(value, list):
            content["Value"] = [_convert_to_json(entry) for entry in value]
        elif value is not None:
            content["Value"] = [value]
        converted[attribute.tag] = content
    return converted


def _fill_xml(parent: ET.Element, item: _Item) -> None:
    for attribute, value in item:
        named = {"tag": attribute.tag, "vr": attribute.vr, "keyword": attribute.keyword}
        element = ET.SubElement(parent, "DicomAttribute", named)
        if isinstance(value, list):
            for number, entry in enumerate(value, 1):
                _fill_xml(ET.SubElement(element, "Item", {"number": str(number)}), entry)
        elif value is not None:
            ET.SubElement(element, "Value", {"number": "1"}).text = str(value)


def choose_media_type(accept: Sequence[tuple[str, float]]) -> str | None:
    """Return the media type of the response for these types and weights; None: not acceptable."""
    best = {
        kind: max((weight for name, weight in accept if name in names), default=0.0)
        for kind, names in (
            (JSON, {JSON, "application/json", "application/*", "*/*"}),
            (XML, {XML, "application/xml", "text/xml"}),
        )
    }
    if not accept or 0 < best[JSON] >= best[XML]:
        return JSON
    return XML if best[XML] else None
