"""The past as an assessment knows it: what looks like this study, and that this study is now past.

Rule: a patient's own earlier studies are always listed, however unlike. Of other patients' cases
those alone are called similar that are more alike than nearly all random pairs; without enough
cases to know that, none is.
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

LEAST = 0.99  #: share of random pairs that are less alike, for a case to be called similar
OWN, OTHERS = 5, 3  #: cases listed, at most
NONE_NEAR = f"no other patient's case is more alike than {LEAST:.0%} of random pairs of cases"
TOO_FEW = "too few past cases to know what is similar"


class SimilarStudies(NamedTuple):
    """What is similar to a study."""

    cases: tuple[SimilarCase, ...]  #: the patient's own earlier studies, then others' cases
    why_none: str  #: why there is no other patient's case; blank where there is one


@dataclass(frozen=True)
class PastCases:
    """The case library of one bundle, and the secret behind its keys."""

    library: Library
    secret: bytes

    def find_similar(self, study_uid: str, header: Dataset, embedding: Embedding) -> SimilarStudies:
        """Return the patient's own earlier studies and the most similar ones of others.

        `header` is that of any image of the study, `embedding` the study's (D,).
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
        """Return the cases nearest to `asked` (D,), those of the patient of `like` apart and first.

        Their likeness is told where a study was asked for and no words. The patient's are listed
        whatever the filters, unless the search is to treat them as any other's.
        """
        typical = () if search.words or like is None else self.library.list_typical_cosines()
        apart = like is not None and not search.same_patient
        own, where = [], search.where
        if like is not None and apart:
            own = self._own_of(like.patient, like.study_uid, asked)
            where = replace(where, other_than=like.patient)
        itself = "" if like is None else like.study_uid
        near = self.library.find_nearest(asked, search.count + 1, where)
        others = [each for each in near if each.case.study_uid != itself][: search.count]
        return [
            CaseMatch(each.case, each.similarity, likeness(each.similarity, typical), own=first)
            for nearest, first in ((own, True), (others, False))
            for each in nearest
        ]

    def _others_of(self, patient: str, study_uid: str, embedding: Embedding) -> list[Neighbour]:
        # The study itself may have been kept when it was thought to be another patient's.
        near = self.library.find_nearest(embedding, OTHERS + 1, Filter(other_than=patient))
        return [each for each in near if each.case.study_uid != study_uid][:OTHERS]

    def _own_of(self, patient: str, study_uid: str, embedding: Embedding) -> list[Neighbour]:
        # One more than is listed: the study itself, assessed before, may be among them.
        near = self.library.find_nearest(embedding, OWN + 1, Filter(patient=patient))
        return [each for each in near if each.case.study_uid != study_uid][:OWN]

    def resolve_key(self, key: str, report_study_uid: str) -> Case | None:
        """Return the case that the report on a study names by a key."""
        for study_uid in self.library.list_study_uids():
            if hmac.compare_digest(case_key(self.secret, report_study_uid, study_uid), key):
                return self.library.get_case(study_uid)
        return None

    def patient_key(self, number: str, issuer: str) -> str:
        """Return how the library calls the patient of a Patient ID and its issuer."""
        header = Dataset()
        header.PatientID, header.IssuerOfPatientID = number, issuer
        return patient_key(self.secret, header)

    def patient_key_of(self, study_uid: str) -> str:
        """Return how the library calls the patient of a case; raise CaseNotFound."""
        case = self.library.get_case(study_uid) or self.library.get_case_of_other_bundle(study_uid)
        if case is None:
            raise CaseNotFound(f"no case of study {study_uid} is known")
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
        """Make a study a case; what was known of it stays, unless more is `known` now."""
        case = _case(header, used, answers, self.secret)
        before = self.library.get_case(case.study_uid) or self.library.get_case_of_other_bundle(
            case.study_uid
        )
        if before is not None:
            case = _told(case, LinkedReading(before.impression, before.confirmed, before.labelled))
        self.library.add(_told(case, known or LinkedReading()), embedding)

    def record_reading(self, study_uid: str, known: LinkedReading) -> bool:
        """Keep what is known of a case from now on; tell whether that is anything new.

        What nothing is said of stays, and so does a text before one of the archive.
        """
        case, embedding = self.library.get_case(study_uid), self.library.get_embedding(study_uid)
        if case is None or embedding is None or not embedding.any():  # replaced this moment
            return False
        if case == (more := _told(case, known)):
            return False
        self.library.add(more, embedding)
        return True


def why_none_similar(found: Sequence[CaseMatch]) -> str:
    """Return why none of the cases that were found may be called similar; blank where one may."""
    known = [each.likeness for each in found if each.likeness is not None and not each.own]
    return NONE_NEAR if known and max(known) < LEAST else ""


def _own(near: Neighbour, typical: Sequence[float]) -> SimilarCase:
    return SimilarCase(
        near.similarity,
        study_uid=near.case.study_uid,
        images=near.case.images,
        likeness=likeness(near.similarity, typical),
    )


def _told(case: Case, known: LinkedReading) -> Case:
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
        flagged=tuple(each.finding.id for each in answers if each.flag is Flag.YES),
        images=tuple(view.images[0] for view in used),
    )
