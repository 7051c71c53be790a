"""The transfer syntaxes in which storage SOP classes are accepted (PS3.5 annex A)."""

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from pynetdicom import ALL_TRANSFER_SYNTAXES

#: pynetdicom accepts the first of these that a presentation context proposes, so native and
#: lossless syntaxes come before those that may be lossy.
PREFERRED = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLossless,
    RLELossless,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
]
STORAGE_SYNTAXES = [*PREFERRED, *(uid for uid in ALL_TRANSFER_SYNTAXES if uid not in PREFERRED)]
