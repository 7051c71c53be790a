"""The images of a study: one of classic MR is one, one of Enhanced MR is one a frame.

Rule: whoever asks about an image reads the attributes of classic MR, wherever Enhanced MR keeps
them. The functional groups of a frame (PS3.3 C.7.6.16), shared ones first, are laid flat into its
header, under the classic keyword where it has another one there. No pixel is decoded here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom import DataElement, Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag
from pydicom.uid import (
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
)

from triage.dicom.header import UNREADABLE
from triage.domain.errors import DamagedInstance

MULTI_FRAME = (EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage)
READ = (MRImageStorage, *MULTI_FRAME)
SHARED, PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
Elements = dict[BaseTag, DataElement | RawDataElement]


@dataclass(frozen=True)
class Image:
    """A received image: its header (no pixels) and where its file lies in the spool."""

    path: str
    header: Dataset
    frame: int | None = None  #: 1-based number of a frame whose groups are laid flat in `header`


def split_frames(image: Image) -> list[Image]:
    """Return the frames of an Enhanced MR image, or any other image as it is.

    Raises:
        DamagedInstance: The frames are not described one by one.
    """
    header = image.header
    if image.frame is not None or header.get("SOPClassUID") not in MULTI_FRAME:
        return [image]
    try:
        return [
            Image(image.path, flat, number) for number, flat in enumerate(_flat(header), start=1)
        ]
    except UNREADABLE as error:
        raise DamagedInstance(f"its frames cannot be read ({type(error).__name__})") from None


def _flat(header: Dataset) -> Iterator[Dataset]:
    groups: Sequence[Dataset] = header.get(PER_FRAME) or ()
    if len(groups) != int(header.get("NumberOfFrames") or 1):
        raise DamagedInstance("its frames are not described one by one")
    common: Elements = {
        element.tag: element
        for element in header
        if element.VR != "SQ" and not element.tag.is_private
    }
    for shared in header.get(SHARED) or ():
        common |= _macros(shared)
    _translate(common, common)
    for group in groups:
        own = _macros(group)
        elements = common | own
        _translate(elements, own)
        yield Dataset(elements)


def _macros(group: Dataset) -> Elements:
    """Return the elements of every macro of a functional group."""
    return {
        element.tag: element
        for macro in group
        if macro.VR == "SQ" and not macro.tag.is_private
        for item in macro.value[:1]
        for element in item
        if element.VR != "SQ" and not element.tag.is_private
    }


#: Where Enhanced MR says under another keyword what classic MR says, the likelier one first.
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


def _translate(elements: Elements, own: Elements) -> None:
    """Add to `elements` under the classic keyword what `own` says under another one."""
    said = Dataset(own)
    classic = Dataset()
    for keyword, sources in CLASSIC.items():
        value = next((said[each].value for each in sources if said.get(each) is not None), None)
        if value is not None:
            values = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else value
            setattr(classic, keyword, [str(each) for each in values][: _most(keyword)])
    if (percentage := said.get("NominalPercentageOfCardiacPhase")) is not None:
        interval = Dataset(elements).get("RRIntervalTimeNominal")
        if interval is not None and "TriggerTime" not in classic:
            classic.TriggerTime = str(float(percentage) / 100 * float(interval))[:16]
    _scanning(classic, Dataset(elements))
    _component(classic, said)
    for element in classic:
        elements[element.tag] = element


def _most(keyword: str) -> int | None:
    return None if keyword == "ImageType" else 1


def _scanning(classic: Dataset, said: Dataset) -> None:
    echoes = ECHOES.get(str(said.get("EchoPulseSequence") or ""))
    if echoes:
        inversion = said.get("InversionRecovery") == "YES"
        classic.ScanningSequence = [*echoes, "IR"] if inversion else echoes


def _component(classic: Dataset, said: Dataset) -> None:
    """Say in the image type, as classic MR does, which part of a complex image this is."""
    component = str(said.get("ComplexImageComponent") or "")
    if component and "ImageType" in classic:
        classic.ImageType = [
            *classic.ImageType,
            {"PHASE": "P", "MAGNITUDE": "M"}.get(component, ""),
        ]
