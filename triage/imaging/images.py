"""Images with the attributes of classic MR: one per classic instance, one per Enhanced MR frame.

The functional groups of an Enhanced MR frame (PS3.3 C.7.6.16), shared groups first, are copied to
the top level of its header. An attribute that has another keyword in Enhanced MR is also copied to
the classic keyword, so that all other modules read classic attributes only. Pixels are not decoded
here.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydicom import DataElement, Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag
from pydicom.uid import (
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
)

from triage.dicom.header import parse_header
from triage.dicom.unreadable import UNREADABLE
from triage.domain.errors import DamagedInstance
from triage.domain.reasons import Reason, ReasonCode, because

MULTI_FRAME = (EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage)
#: SOP classes whose images are read; the first one has a single frame.
READ = (MRImageStorage, *MULTI_FRAME)
SHARED, PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
Elements = dict[BaseTag, DataElement | RawDataElement]


@dataclass(frozen=True)
class Image:
    """A received image."""

    path: str  #: path of its file in the spool
    header: Dataset  #: without pixel data
    frame: int | None = None  #: 1-based frame number if `header` describes one frame of the file
    dropped: frozenset[str] = frozenset()  #: keywords of its elements that could not be read


def open_image(path: str, part10: bytes) -> Image:
    """Return the image of a Part 10 file at `path`; DamagedInstance as of `parse_header`."""
    header = parse_header(part10)
    return Image(path, header.dataset, dropped=header.dropped)


def count_dropped(images: Iterable[Image]) -> dict[str, int]:
    """Return in how many images each unreadable element occurs, by keyword."""
    counts = Counter(keyword for image in images for keyword in image.dropped)
    return dict(sorted(counts.items()))


def explain_dropped(images: Iterable[Image]) -> list[Reason]:
    """Return a remark that counts the unreadable elements; no remark if there are none."""
    counts = count_dropped(images)
    if not counts:
        return []
    elements = ", ".join(f"{keyword} in {count}" for keyword, count in counts.items())
    return [because(ReasonCode.UNREADABLE_ELEMENTS, elements=elements)]


def split_frames(image: Image) -> list[Image]:
    """Return the frames of an Enhanced MR image, or any other image unchanged.

    Raises:
        DamagedInstance: The functional groups do not describe every frame.
    """
    header = image.header
    if image.frame is not None or header.get("SOPClassUID") not in MULTI_FRAME:
        return [image]
    try:
        return [
            Image(image.path, frame_header, number)
            for number, frame_header in enumerate(_frame_headers(header), start=1)
        ]
    except UNREADABLE as error:
        raise DamagedInstance(f"its frames cannot be read ({type(error).__name__})") from None


def _frame_headers(header: Dataset) -> Iterator[Dataset]:
    groups: Sequence[Dataset] = header.get(PER_FRAME) or ()
    if len(groups) != int(header.get("NumberOfFrames") or 1):
        raise DamagedInstance("its functional groups do not describe every frame")
    common: Elements = {
        element.tag: element
        for element in header
        if element.VR != "SQ" and not element.tag.is_private
    }
    for shared in header.get(SHARED) or ():
        common |= _macro_elements(shared)
    _add_classic_elements(common, common)
    for group in groups:
        own = _macro_elements(group)
        elements = common | own
        _add_classic_elements(elements, own)
        yield Dataset(elements)


def _macro_elements(group: Dataset) -> Elements:
    """Return the elements of every macro of a functional group."""
    return {
        element.tag: element
        for macro in group
        if macro.VR == "SQ" and not macro.tag.is_private
        for item in macro.value[:1]
        for element in item
        if element.VR != "SQ" and not element.tag.is_private
    }


#: Classic keywords and the Enhanced MR keywords for the same attribute, preferred ones first.
CLASSIC = {
    "TriggerTime": ("NominalCardiacTriggerDelayTime", "ActualCardiacTriggerDelayTime"),
    "EchoTime": ("EffectiveEchoTime",),
    "InversionTime": ("InversionTimes",),
    "NominalInterval": ("RRIntervalTimeNominal",),
    "ImageType": ("FrameType",),
    "SequenceName": ("PulseSequenceName",),
    "AcquisitionTime": ("FrameAcquisitionDateTime",),
}
ECHOES = {"GRADIENT": ["GR"], "SPIN": ["SE"], "BOTH": ["GR", "SE"]}
#: ComplexImageComponent as a value of the classic ImageType.
COMPONENTS = {"PHASE": "P", "MAGNITUDE": "M"}


def _add_classic_elements(elements: Elements, own: Elements) -> None:
    """Add to `elements` the classic equivalents of the Enhanced MR attributes in `own`."""
    enhanced, classic = Dataset(own), Dataset()
    for keyword, sources in CLASSIC.items():
        found = (enhanced[source].value for source in sources if enhanced.get(source) is not None)
        if (value := next(found, None)) is not None:
            values = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else value
            setattr(classic, keyword, [str(item) for item in values][: _value_limit(keyword)])
    if (percentage := enhanced.get("NominalPercentageOfCardiacPhase")) is not None:
        interval = Dataset(elements).get("RRIntervalTimeNominal")
        if interval is not None and "TriggerTime" not in classic:
            classic.TriggerTime = str(float(percentage) / 100 * float(interval))[:16]
    _set_scanning_sequence(classic, Dataset(elements))
    _set_image_component(classic, enhanced)
    for element in classic:
        elements[element.tag] = element


def _value_limit(keyword: str) -> int | None:
    return None if keyword == "ImageType" else 1


def _set_scanning_sequence(classic: Dataset, enhanced: Dataset) -> None:
    echoes = ECHOES.get(str(enhanced.get("EchoPulseSequence") or ""))
    if echoes:
        inversion = enhanced.get("InversionRecovery") == "YES"
        classic.ScanningSequence = [*echoes, "IR"] if inversion else echoes


def _set_image_component(classic: Dataset, enhanced: Dataset) -> None:
    """Append the part of a complex image that this is to the image type, as classic MR does."""
    component = str(enhanced.get("ComplexImageComponent") or "")
    if component and "ImageType" in classic:
        classic.ImageType = [*classic.ImageType, COMPONENTS.get(component, "")]
