"""The case library of one bundle: finds similar cases, and adds assessed studies.

A patient's own earlier studies are always listed, however dissimilar. A case of another patient is
called similar only if its cosine is above `LEAST` of random pairs; with too few cases to know that
share, no case of another patient is listed.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from pydicom import Dataset

from triage.cases.keys import case_key, patient_key
from triage.cases.readings.report_index import LinkedReading
from triage.cases.search import CaseMatch, CaseQuery
from triage.cases.similarity import likeness
from triage.domain.assessment import Answer, Flag, SimilarCase, UsedView
from triage.domain.case import Case, Filter, Neighbour
from triage.domain.errors import CaseNotFound
from triage.ports.encoder import Embedding
from triage.ports.library import Library

LEAST = 0.99  #: share of less similar random pairs from which a case is called similar
OWN, OTHERS = 5, 3  #: most cases listed of the patient, and of other patients
NONE_NEAR = f"no case of another patient is more similar than {LEAST:.0%} of random pairs of cases"
TOO_FEW = "too few past cases to judge which are similar"


class SimilarStudies(NamedTuple):
    """The cases to list for a study."""

    cases: tuple[SimilarCase, ...]  #: the patient's own earlier studies, then others' cases
    why_none: str  #: why no case of another patient is listed; blank if one is


@dataclass(frozen=True)
class PastCases:
    """The case library of one bundle, and the secret behind its keys."""

    library: Library
    secret: bytes  #: key of the HMACs in `keys`

    def find_similar(self, study_uid: str, header: Dataset, embedding: Embedding) -> SimilarStudies:
        """Return the patient's own earlier studies and the most similar cases of others.

        `header` is of any image of the study; `embedding` is the study's, (D,).
        """
        patient, typical = patient_key(self.secret, header), self.library.list_typical_cosines()
        others = tuple(
            self._other(near, study_uid, typical)
            for near in self._others_of(patient, study_uid, embedding)
            if (likeness(near.similarity, typical) or 0) >= LEAST
        )
        own = (_own(near, typical) for near in self._own_of(patient, study_uid, embedding))
        known = likeness(1.0, typical) is not None
        return SimilarStudies((*own, *others), "" if others else NONE_NEAR if known else TOO_FEW)

    def find_nearest(
        self, asked: Embedding, search: CaseQuery, like: Case | None = None
    ) -> Sequence[CaseMatch]:
        """Return the cases nearest to `asked` (D,), those of the patient of `like` first.

        Without a query text, matches of a case `like` have a `likeness`. The filters do not apply
        to cases of the same patient, unless the search has `same_patient`.
        """
        typical = () if search.words or like is None else self.library.list_typical_cosines()
        apart = like is not None and not search.same_patient
        own, where = [], search.where
        if like is not None and apart:
            own = self._own_of(like.patient, like.study_uid, asked)
            where = replace(where, other_than=like.patient)
        itself = "" if like is None else like.study_uid
        near = self.library.find_nearest(asked, search.count + 1, where)
        others = [match for match in near if match.case.study_uid != itself][: search.count]
        return [
            CaseMatch(match.case, match.similarity, likeness(match.similarity, typical), own=is_own)
            for matches, is_own in ((own, True), (others, False))
            for match in matches
        ]

    def _others_of(self, patient: str, study_uid: str, embedding: Embedding) -> list[Neighbour]:
        # The study itself may be in the library under another Patient ID.
        near = self.library.find_nearest(embedding, OTHERS + 1, Filter(other_than=patient))
        return [match for match in near if match.case.study_uid != study_uid][:OTHERS]

    def _own_of(self, patient: str, study_uid: str, embedding: Embedding) -> list[Neighbour]:
        # One more than is listed, because an earlier assessment may have added the study itself.
        near = self.library.find_nearest(embedding, OWN + 1, Filter(patient=patient))
        return [match for match in near if match.case.study_uid != study_uid][:OWN]

    def resolve_key(self, key: str, report_study_uid: str) -> Case | None:
        """Look up the case for a case key in the report on a study; None if there is none."""
        for study_uid in self.library.list_study_uids():
            if hmac.compare_digest(case_key(self.secret, report_study_uid, study_uid), key):
                return self.library.get_case(study_uid)
        return None

    def patient_key(self, number: str, issuer: str) -> str:
        """Return the library's key for a Patient ID and its issuer."""
        header = Dataset()
        header.PatientID, header.IssuerOfPatientID = number, issuer
        return patient_key(self.secret, header)

    def patient_key_of(self, study_uid: str) -> str:
        """Return the library's key for the patient of a case; raise CaseNotFound."""
        case = self.library.get_case(study_uid) or self.library.get_case_of_other_bundle(study_uid)
        if case is None:
            raise CaseNotFound(f"no bundle has a case of study {study_uid}")
        return case.patient

    def _other(self, near: Neighbour, study_uid: str, typical: Sequence[float]) -> SimilarCase:
        return SimilarCase(
            near.similarity,
            key=case_key(self.secret, study_uid, near.case.study_uid),
            study_uid=near.case.study_uid,
            likeness=likeness(near.similarity, typical),
        )

    def add_study(
        self,
        header: Dataset,
        used: Sequence[UsedView],
        answers: Sequence[Answer],
        embedding: Embedding,
        known: LinkedReading | None = None,
    ) -> None:
        """Add a study as a case; a reading recorded earlier stays unless `known` replaces it."""
        case = _case(header, used, answers, self.secret)
        before = self.library.get_case(case.study_uid) or self.library.get_case_of_other_bundle(
            case.study_uid
        )
        if before is not None:
            recorded = LinkedReading(before.impression, before.confirmed, before.labelled)
            case = _with_reading(case, recorded)
        self.library.add(_with_reading(case, known or LinkedReading()), embedding)

    def record_reading(self, study_uid: str, known: LinkedReading) -> bool:
        """Record a reading of a case; return whether it changes the case.

        Fields that the reading does not state stay, and a text from an SR in the archive replaces
        no recorded text.
        """
        case, embedding = self.library.get_case(study_uid), self.library.get_embedding(study_uid)
        if case is None or embedding is None or not embedding.any():  # being replaced right now
            return False
        if case == (updated := _with_reading(case, known)):
            return False
        self.library.add(updated, embedding)
        return True


def why_none_similar(found: Sequence[CaseMatch]) -> str:
    """Return why none of the matches is called similar; blank if one is."""
    known = [match.likeness for match in found if match.likeness is not None and not match.own]
    return NONE_NEAR if known and max(known) < LEAST else ""


def _own(near: Neighbour, typical: Sequence[float]) -> SimilarCase:
    return SimilarCase(
        near.similarity,
        study_uid=near.case.study_uid,
        images=near.case.images,
        likeness=likeness(near.similarity, typical),
    )


def _with_reading(case: Case, known: LinkedReading) -> Case:
    if known.impression and not (known.from_archive and case.impression):
        case = replace(case, impression=known.impression)
    if known.labelled:
        case = replace(case, confirmed=known.confirmed, labelled=True)
    return case


def _case(
    header: Dataset, used: Sequence[UsedView], answers: Sequence[Answer], secret: bytes
) -> Case:
    return Case(
        study_uid=str(header.StudyInstanceUID),
        patient=patient_key(secret, header),
        study_date=str(header.get("StudyDate", "") or ""),
        vendor=str(header.get("Manufacturer", "") or "").lower(),
        views=tuple(view.view for view in used),
        flagged=tuple(answer.finding.id for answer in answers if answer.flag is Flag.YES),
        images=tuple(view.images[0] for view in used),
    )
