"""Products of one patient's study disclose nothing of other patients that the site forbids.

The search is verified on values that must be found: the patient's own name, and the Study Instance
UIDs of other patients if the site permits them.
"""

import re
import subprocess
import zlib
from base64 import a85decode
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import EncapsulatedPDFStorage, MRImageStorage
from structlog.testing import capture_logs

from tests.builders.assessments import ROOT, evidence, mixed
from tests.builders.images import cardiac_study, part10, uid
from tests.builders.reportings import OTHERS, PRIOR, all_flagged, reporting
from tests.contract.ledgers import SOURCE, current, full_ledger
from tests.peers import peer
from triage.domain.assessment import Assessment, Disclosure, SimilarCase, SourceImage
from triage.domain.delivery import Product
from triage.domain.errors import StudyDeclined
from triage.domain.study import Event, State, StudyRevision
from triage.pipeline.assess import AssessedStudy, Assessor
from triage.pipeline.intake import Intake
from triage.reports import REPORTS, build_products, fhir, summary
from triage.reports.reporting import Reporting
from triage.store.ledger import SqlLedger

#: Identifying attributes in the images of the other patients.
NEIGHBOURS = {
    "B": {
        "PatientName": "Bellweather^Beatrix",
        "PatientID": "BNUM-20202",
        "PatientBirthDate": "19420218",
        "AccessionNumber": "BACC-777",
    },
    "C": {
        "PatientName": "Cottonwood^Casimir",
        "PatientID": "CNUM-30303",
        "PatientBirthDate": "19531127",
        "AccessionNumber": "CACC-888",
    },
}
IDENTIFIERS = [
    part for header in NEIGHBOURS.values() for value in header.values() for part in value.split("^")
]
STUDY_UIDS = [f"{ROOT}.31", f"{ROOT}.32"]
OWN = "Müller"
STREAM = re.compile(rb"<<(.*?)>>\s*stream\r?\n(.*?)\r?\n?endstream", re.DOTALL)


def neighbours() -> tuple[SimilarCase, ...]:
    """Return an earlier study of the patient, and cases of others with every field filled."""
    own = SimilarCase(0.95, study_uid=f"{ROOT}.2", images=(PRIOR,))
    others = (
        SimilarCase(
            0.9,
            key=key,
            study_uid=study_uid,
            images=(SourceImage(MRImageStorage, f"{study_uid}.7.1", f"{study_uid}.7"),),
        )
        for key, study_uid in zip(OTHERS, STUDY_UIDS, strict=True)
    )
    return (own, *others)


def build_all(source: Reporting) -> list[Product]:
    return [*build_products(source, REPORTS), fhir.build(source)]


def disclosed_products(similar_cases: Disclosure) -> list[Product]:
    return build_all(reporting(with_neighbours(all_flagged()), similar_cases=similar_cases))


def with_neighbours(assessment: Assessment) -> Assessment:
    return replace(assessment, similar=neighbours())


def found(values: list[str], content: bytes) -> list[str]:
    """Return the values found in bytes, in any encoding that a product may have."""
    return [
        value
        for value in values
        if any(value.encode(code) in content for code in ("utf-8", "latin-1", "utf-16-be"))
    ]


def decompressed(product: Product, folder: Path) -> bytes:
    """Return the bytes of a product, and the text and streams of a PDF in it."""
    if product.sop_class_uid != EncapsulatedPDFStorage:
        return product.content
    drawn = dcmread(BytesIO(product.content)).EncapsulatedDocument
    file = folder / "page.pdf"
    file.write_bytes(drawn)
    text = subprocess.run([peer("pdftotext"), file, "-"], check=True, capture_output=True).stdout
    return b"\n".join([product.content, text, *_streams(drawn)])


def _streams(drawn: bytes) -> Iterator[bytes]:
    for header, content in STREAM.findall(drawn):
        packed = content
        if b"ASCII85Decode" in header:
            packed = a85decode(content.strip().removesuffix(b"~>"))
        yield zlib.decompress(packed) if b"FlateDecode" in header else packed


def numbers() -> list[str]:
    """Return the prefix of the series and image UIDs of the neighbours."""
    return [f"{study_uid}.7" for study_uid in STUDY_UIDS]


def test_no_product_identifies_another_patient(tmp_path: Path) -> None:
    for disclosure in (Disclosure.NONE, Disclosure.OPAQUE):
        made = disclosed_products(disclosure)
        assert len({product.kind for product in made}) == len(REPORTS) + 1
        for product in made:
            content = decompressed(product, tmp_path)
            assert found([*IDENTIFIERS, *STUDY_UIDS], content) == [], product.kind


def test_another_patients_case_has_a_key_unless_disabled(tmp_path: Path) -> None:
    for disclosure, keys in ((Disclosure.NONE, []), (Disclosure.OPAQUE, list(OTHERS))):
        by_kind = {product.kind: product for product in disclosed_products(disclosure)}
        for kind in ("structured_report", "pdf"):
            assert found(list(OTHERS), decompressed(by_kind[kind], tmp_path)) == keys


def test_with_permission_only_study_uids_are_disclosed(tmp_path: Path) -> None:
    for product in disclosed_products(Disclosure.UIDS):
        content = decompressed(product, tmp_path)
        assert found([*IDENTIFIERS, *numbers()], content) == [], product.kind
        if product.kind in {"structured_report", "pdf"}:
            assert found(STUDY_UIDS, content) == STUDY_UIDS


def test_the_search_finds_existing_values(tmp_path: Path) -> None:
    for product in disclosed_products(Disclosure.OPAQUE):
        named = [] if product.kind == summary.KIND else [OWN]  # a summary names no patient
        assert found([OWN], decompressed(product, tmp_path)) == named, product.kind
    (page,) = (
        product for product in disclosed_products(Disclosure.OPAQUE) if product.kind == "pdf"
    )
    packed = b"".join(_streams(dcmread(BytesIO(page.content)).EncapsulatedDocument))
    assert len(packed) > len(page.content)


@pytest.mark.parametrize("keyword", ["PatientID", "PatientName", "PatientBirthDate"])
def test_two_patients_are_rejected_before_building(keyword: str) -> None:
    images = evidence()
    setattr(images[-1], keyword, NEIGHBOURS["B"][keyword])
    with pytest.raises(StudyDeclined, match="images of 2 patients") as refused:
        reporting(mixed(), images)
    assert found(IDENTIFIERS, str(refused.value).encode()) == []


# -- end to end, with the studies of the other patients in the same installation


class AssessorWithNeighbours(Assessor):
    """An assessor that finds similar cases."""

    def _assess_images(self, study: StudyRevision) -> AssessedStudy:
        assessed = super()._assess_images(study)
        return replace(assessed, assessment=with_neighbours(assessed.assessment))


def received(assessor: Assessor, study: str, **values: str) -> None:
    """Receive a cardiac study with these values in its headers."""
    for image in cardiac_study(study):
        for keyword, value in values.items():
            setattr(image, keyword, value)
        Intake(assessor.spool, full_ledger(assessor)).accept(part10(image), SOURCE)


def test_neither_log_nor_ledger_nor_file_name_identifies_another_patient(
    assessor: Assessor, ledger: SqlLedger, tmp_path: Path
) -> None:
    for name, values in NEIGHBOURS.items():
        received(assessor, name, **values)
    before = set(tmp_path.rglob("*"))
    study = uid("study")
    with capture_logs() as lines:
        received(assessor, "study")
        assert ledger.move(current(ledger, study), Event.JUDGED_COMPLETE, "quiet")
        settings = vars(assessor) | {"reports": tuple(REPORTS)}
        AssessorWithNeighbours(**settings).assess(study, 1)
    assert current(ledger, study).state is State.ASSESSED
    others = [*IDENTIFIERS, *STUDY_UIDS, uid("B"), uid("C")]
    assert found(others, repr(lines).encode()) == []
    assert found(["Marked", "MARKED-ID"], repr(lines).encode()) == []
    names = "\n".join(str(path) for path in set(tmp_path.rglob("*")) - before)
    assert found(others, names.encode()) == []
    assert found(others, (ledger.get_summary(study, 1) or "").encode()) == []
    for product in ledger.list_products(study, 1):
        assert found(others, decompressed(product, tmp_path)) == []


def test_the_worker_discloses_what_its_site_allows(assessor: Assessor, ledger: SqlLedger) -> None:
    study = uid("study")
    received(assessor, "study")
    assert ledger.move(current(ledger, study), Event.JUDGED_COMPLETE, "quiet")
    settings = vars(assessor) | {"similar_cases": Disclosure.UIDS}
    AssessorWithNeighbours(**settings).assess(study, 1)
    for product in ledger.list_products(study, 1):
        assert found(STUDY_UIDS, product.content) == STUDY_UIDS
        assert found(numbers(), product.content) == []
