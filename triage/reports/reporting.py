"""The input of every report.

It has everything that a builder needs, and nothing that a report must not disclose: identifiers of
other patients are removed from the similar cases, and images of two patients are rejected.

The time of making is part of the input, so that builders need no clock. It is no part of a UID: a
product that is made again has its UID again, and with it the time at which it was first made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from triage.dicom.patient import refuse_two_patients
from triage.domain.assessment import Assessment, Disclosure, SourceImage, limit_disclosure
from triage.domain.delivery import Product
from triage.reports.equipment import Equipment


@dataclass(frozen=True)
class Reporting:
    """One assessment with everything that its reports need.

    Raises:
        StudyDeclined: The evidence shows two patients.
    """

    assessment: Assessment
    evidence: Sequence[Dataset]  #: headers of all images that the model assessed
    equipment: Equipment  #: the author of the reports
    #: the key frames as greyscale pictures, (H, W), for the page
    pictures: Mapping[SourceImage, NDArray[np.uint8]] = field(default_factory=dict)
    replaced: Sequence[Product] = ()  #: earlier products on this study, the latest last
    #: what reports disclose of other patients' cases; `assessment` is reduced to it
    similar_cases: Disclosure = Disclosure.OPAQUE
    made_at: datetime = field(kw_only=True)  #: in the time zone of the site

    def __post_init__(self) -> None:
        refuse_two_patients(self.evidence, self.assessment.study_uid)
        told = limit_disclosure(self.assessment.similar, self.similar_cases)
        why_none = "" if self.similar_cases is Disclosure.NONE else self.assessment.why_none_similar
        assessment = replace(self.assessment, similar=told, why_none_similar=why_none)
        object.__setattr__(self, "assessment", assessment)

    def made_at_of(self, uid: str) -> datetime:
        """Return when the product with this UID is made; of an earlier product, when it was."""
        for product in self.replaced:
            if product.sop_instance_uid == uid and product.made_at is not None:
                return datetime.fromtimestamp(product.made_at, self.made_at.tzinfo)
        return self.made_at
