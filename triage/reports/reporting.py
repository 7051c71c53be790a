"""What every report is made from.

Rule: whatever a builder needs stands here; it asks nobody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from triage.domain.assessment import Assessment, SourceImage
from triage.domain.delivery import Product
from triage.reports.equipment import Equipment


@dataclass(frozen=True)
class Reporting:
    """One assessment, about to be reported."""

    assessment: Assessment
    evidence: Sequence[Dataset]  #: headers of all images that the model looked at
    equipment: Equipment  #: who reports
    #: the key frames as grey pictures, (H, W), for the page
    pictures: Mapping[SourceImage, NDArray[np.uint8]] = field(default_factory=dict)
    replaced: Sequence[Product] = ()  #: what was said of this study before, the latest last
