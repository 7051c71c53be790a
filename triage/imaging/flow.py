"""Velocity-encoded images, recognised by attributes and phase images, whatever their names.

A phase-contrast acquisition yields magnitude and phase images (PS3.3 C.8.3.1.1.1, C.8.13.3.1.1).
The phase images state what they are: P, PHASE or VELOCITY in Image Type, PHASE in Complex Image
Component. The magnitude images often state nothing, beat like a cine, and may have the name of a
view. But they are of one acquisition with their phase images, so they have its plane, times and
matrix, and its sequence: the same Scanning Sequence, Sequence Variant, echo and repetition time,
and flip angle. A cine of the same plane differs in these.

A balanced cine can also be stored with phase images, which encode no velocity. Its Sequence Variant
shows it: steady state without spoiling. An inversion pulse marks late enhancement (PSIR).
"""

from collections.abc import Hashable, Iterable, Sequence

from triage.imaging.geometry import read_number, read_plane
from triage.imaging.images import Image
from triage.imaging.rules import read_text

PHASE_VALUES = frozenset({"P", "PHASE", "PHASE MAP", "VELOCITY", "VELOCITY MAP", "P_PCA"})
#: Attributes that the images of one acquisition share.
ACQUISITION = ("ScanningSequence", "SequenceVariant", "Rows", "Columns")
#: Numbers that they share, in the units of the standard.
TIMING = ("EchoTime", "RepetitionTime", "FlipAngle")
ImageId = tuple[str, int | None]  #: path and frame of an image


def is_phase_image(image: Image) -> bool:
    """Return whether an image shows phases, or velocities, in place of magnitudes."""
    return not PHASE_VALUES.isdisjoint(read_text(image.header, "ImageType").split("\\"))


def find_flow_magnitudes(images: Sequence[Image]) -> frozenset[ImageId]:
    """Return the magnitude images that were acquired together with phase images.

    Args:
        images: Single frames that all have a plane, of one study, in any order.
    """
    phases = {image_id(image): image for image in images if is_phase_image(image)}
    moments = {_moment(image) for image in phases.values() if _may_encode_velocity(image)}
    if not moments:
        return frozenset()
    magnitudes = [image for image in images if image_id(image) not in phases]
    return frozenset(
        image_id(image)
        for image in magnitudes
        if _moment(image) in moments and _may_encode_velocity(image)
    )


def image_id(image: Image) -> ImageId:
    """Return what distinguishes an image from all others of a study."""
    return image.path, image.frame


def _may_encode_velocity(image: Image) -> bool:
    """Return False for inversion recovery and for balanced steady state."""
    scanning = read_text(image.header, "ScanningSequence").split("\\")
    variant = read_text(image.header, "SequenceVariant").split("\\")
    steady = read_text(image.header, "SteadyStatePulseSequence")
    is_balanced = "SS" in variant or steady == "FREE_PRECESSION"
    return "IR" not in scanning and not (is_balanced and "SP" not in variant)


def _moment(image: Image) -> Hashable:
    """Return the acquisition, plane and time of an image."""
    plane = read_plane(image.header)
    directions: Iterable[float] = () if plane is None else (*plane.row, *plane.column)
    position: Iterable[float] = () if plane is None else plane.position
    return (
        tuple(read_text(image.header, keyword) for keyword in ACQUISITION),
        tuple(_rounded(read_number(image.header, keyword), 1) for keyword in TIMING),
        tuple(round(float(value), 2) + 0.0 for value in directions),
        tuple(round(float(value)) for value in position),
        _rounded(read_number(image.header, "TriggerTime"), 0),
    )


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
