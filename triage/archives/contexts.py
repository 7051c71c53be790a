"""Which presentation contexts a C-GET proposes: 128 are all there is (PS3.8 9.3.2.2).

The archive takes one transfer syntax a context. So that images come as they are stored, not
decoded, an image class has one context with the uncompressed syntaxes and one with each compressed
one. That is more than fits for every storage class. First come the classes that the archive names
as those of the study (SOPClassesInStudy), if it does; then those of USUAL, what a cardiac MR study
is made of; compressed contexts fill what is left, in the same order.

Rule: an uncompressed context for every class goes before a compressed one for any. An instance
whose class was not proposed is a failed sub-operation, so its study is reported as incomplete.
"""

from collections.abc import Sequence
from itertools import product

from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from triage.dicom.header import is_image_class
from triage.dimse.pynetdicom_internals import STORAGE_CLASSES
from triage.dimse.storage_classes import PRIVATE_CLASSES
from triage.domain.uid import is_uid

CONTEXTS_MAX = 128
OTHERS = 1  #: contexts that are no storage: C-GET
UNCOMPRESSED = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
#: Those that images are stored in, commonest first.
COMPRESSED = [
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLosslessSV1,
    JPEGLossless,
    RLELossless,
    JPEG2000,
    JPEGBaseline8Bit,
    JPEGLSNearLossless,
    JPEGExtended12Bit,
    HTJ2KLossless,
]
#: What a cardiac MR study is made of: its images, and what is derived from them or said of them.
USUAL = (
    "MRImageStorage",
    "EnhancedMRImageStorage",
    "LegacyConvertedEnhancedMRImageStorage",
    "EnhancedMRColorImageStorage",
    "SecondaryCaptureImageStorage",
    "MultiFrameTrueColorSecondaryCaptureImageStorage",
    "MultiFrameGrayscaleByteSecondaryCaptureImageStorage",
    "MultiFrameGrayscaleWordSecondaryCaptureImageStorage",
    "MultiFrameSingleBitSecondaryCaptureImageStorage",
    "ParametricMapStorage",
    "SegmentationStorage",
    "SurfaceSegmentationStorage",
    "MRSpectroscopyStorage",
    "RawDataStorage",
    "RealWorldValueMappingStorage",
    "SpatialRegistrationStorage",
    "DeformableSpatialRegistrationStorage",
    "SpatialFiducialsStorage",
    "BasicTextSRStorage",
    "EnhancedSRStorage",
    "ComprehensiveSRStorage",
    "Comprehensive3DSRStorage",
    "ExtensibleSRStorage",
    "KeyObjectSelectionDocumentStorage",
    "EncapsulatedPDFStorage",
    "EncapsulatedCDAStorage",
    "GrayscaleSoftcopyPresentationStateStorage",
    "ColorSoftcopyPresentationStateStorage",
    "BlendingSoftcopyPresentationStateStorage",
    "AdvancedBlendingPresentationStateStorage",
    "BasicStructuredDisplayStorage",
    "TwelveLeadECGWaveformStorage",
    "GeneralECGWaveformStorage",
    "HemodynamicWaveformStorage",
    "RespiratoryWaveformStorage",
    "PerformedImagingAgentAdministrationSRStorage",
)

Context = tuple[str, list[UID]]


def proposed(sop_classes: Sequence[str]) -> list[Context]:
    """Return the contexts for a study that has these SOP classes, as far as is known."""
    told = [uid for uid in sop_classes if is_uid(uid)]
    classes = [*dict.fromkeys([*told, *usual()])]
    contexts: list[Context] = [(uid, UNCOMPRESSED) for uid in classes]
    images = [uid for uid in classes if is_image_class(uid)]
    contexts += [(uid, [syntax]) for uid, syntax in product(images, COMPRESSED)]
    return contexts[: CONTEXTS_MAX - OTHERS]


def usual() -> list[str]:
    """Return the UIDs of USUAL, and of the private classes that scanners add."""
    return [*(STORAGE_CLASSES[keyword] for keyword in USUAL), *PRIVATE_CLASSES.values()]
