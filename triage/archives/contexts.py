"""The presentation contexts that a C-GET proposes; an association has at most 128 (PS3.8 9.3.2.2).

The archive accepts one transfer syntax per context. To receive images as they are stored, without
decoding, an image class needs one context with the uncompressed syntaxes and one with each
compressed syntax. These are too many for all storage classes. The order of priority is therefore:

1. an uncompressed context for each class of the study (SOPClassesInStudy), if the archive sent it;
2. an uncompressed context for each class that the site has added, and for each of USUAL_CLASSES,
   the classes of cardiac MR studies;
3. the compressed contexts of the same classes, in the same order, as far as they fit.

If the class of an instance was not proposed, the instance is a failed sub-operation, so its study
is reported as incomplete.
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
OTHERS = 1  #: contexts that are not for storage: C-GET itself
UNCOMPRESSED = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
#: Compressed transfer syntaxes of stored images, commonest first.
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
#: SOP classes of cardiac MR studies: images, objects derived from them, and reports.
USUAL_CLASSES = (
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


def propose_contexts(sop_classes: Sequence[str], more: Sequence[str] = ()) -> list[Context]:
    """Return the contexts for a study; `sop_classes` are those that the archive has reported.

    `more` are the storage classes that the site has added.
    """
    reported = [uid for uid in sop_classes if is_uid(uid)]
    classes = [*dict.fromkeys([*reported, *more, *list_usual_classes()])]
    contexts: list[Context] = [(uid, UNCOMPRESSED) for uid in classes]
    images = [uid for uid in classes if is_image_class(uid)]
    contexts += [(uid, [syntax]) for uid, syntax in product(images, COMPRESSED)]
    return contexts[: CONTEXTS_MAX - OTHERS]


def list_usual_classes() -> list[str]:
    """Return the UIDs of USUAL_CLASSES, and of the private storage classes of scanners."""
    return [*(STORAGE_CLASSES[keyword] for keyword in USUAL_CLASSES), *PRIVATE_CLASSES.values()]
