"""What every report is made from.

Rule: whatever a builder needs stands here; it asks nobody. What it must not tell does not even
come here: another patient's identifiers are taken out of the similar cases, and images of two
patients are refused, whoever builds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from triage.dicom.patient import refuse_two_patients
from triage.domain.assessment import Assessment, Disclosure, SourceImage, limit_disclosure
from triage.domain.delivery import Product
from triage.reports.equipment import Equipment


@dataclass(frozen=True)
class Reporting:
    """One assessment, about to be reported.

    Raises StudyDeclined where the evidence names two patients.
    """

    assessment: Assessment
    evidence: Sequence[Dataset]  #: headers of all images that the model looked at
    equipment: Equipment  #: who reports
    #: the key frames as grey pictures, (H, W), for the page
    pictures: Mapping[SourceImage, NDArray[np.uint8]] = field(default_factory=dict)
    replaced: Sequence[Product] = ()  #: what was said of this study before, the latest last
    #: what may be told of other patients' cases; the assessment here tells no more
    similar_cases: Disclosure = Disclosure.OPAQUE

    def __post_init__(self) -> None:
        refuse_two_patients(self.evidence, self.assessment.study_uid)
        told = limit_disclosure(self.assessment.similar, self.similar_cases)
        why_none = "" if self.similar_cases is Disclosure.NONE else self.assessment.why_none_similar
        assessment = replace(self.assessment, similar=told, why_none_similar=why_none)
        object.__setattr__(self, "assessment", assessment)
