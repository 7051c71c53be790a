"""Whatever is made of one patient's study tells nothing of another's, but what the site allows.

Rule: the search is proven on what must be found: the patient's own name, and other patients' Study
Instance UIDs where the site asks for them.
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
from tests.contract.ledgers import SOURCE, current
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

#: What the images of the neighbours say of whose they are.
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
WORDS = [
    word for each in NEIGHBOURS.values() for value in each.values() for word in value.split("^")
]
STUDY_UIDS = [f"{ROOT}.31", f"{ROOT}.32"]
OWN = "Müller"
STREAM = re.compile(rb"<<(.*?)>>\s*stream\r?\n(.*?)\r?\n?endstream", re.DOTALL)


def neighbours() -> tuple[SimilarCase, ...]:
    """Return a prior of the patient's own, and all that a case of another patient can hold."""
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


def everything(said: Reporting) -> list[Product]:
    return [*build_products(said, REPORTS), fhir.build(said)]


def told(similar_cases: Disclosure) -> list[Product]:
    return everything(reporting(similar_to(all_flagged()), similar_cases=similar_cases))


def similar_to(said: Assessment) -> Assessment:
    return replace(said, similar=neighbours())


def found(words: list[str], content: bytes) -> list[str]:
    """Return the words that stand in bytes, in any of the encodings that a product may have."""
    return [
        word
        for word in words
        if any(word.encode(each) in content for each in ("utf-8", "latin-1", "utf-16-be"))
    ]


def laid_open(product: Product, folder: Path) -> bytes:
    """Return the bytes of a product, and of a PDF in it what is packed away in it too."""
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
    """Return the UIDs of the neighbours' series and images; their study's begin them all."""
    return [f"{study_uid}.7" for study_uid in STUDY_UIDS]


def test_no_product_tells_of_another_patient(tmp_path: Path) -> None:
    for disclosure in (Disclosure.NONE, Disclosure.OPAQUE):
        made = told(disclosure)
        assert len({product.kind for product in made}) == len(REPORTS) + 1
        for product in made:
            content = laid_open(product, tmp_path)
            assert found([*WORDS, *STUDY_UIDS], content) == [], product.kind


def test_a_key_stands_for_another_patients_case_unless_nothing_is_told(tmp_path: Path) -> None:
    for disclosure, keys in ((Disclosure.NONE, []), (Disclosure.OPAQUE, list(OTHERS))):
        by_kind = {product.kind: product for product in told(disclosure)}
        for kind in ("structured_report", "pdf"):
            assert found(list(OTHERS), laid_open(by_kind[kind], tmp_path)) == keys


def test_where_the_site_allows_it_study_uids_are_told_and_no_other(tmp_path: Path) -> None:
    for product in told(Disclosure.UIDS):
        content = laid_open(product, tmp_path)
        assert found([*WORDS, *numbers()], content) == [], product.kind
        if product.kind in {"structured_report", "pdf"}:
            assert found(STUDY_UIDS, content) == STUDY_UIDS


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    for product in told(Disclosure.OPAQUE):
        named = [] if product.kind == summary.KIND else [OWN]  # which names no patient at all
        assert found([OWN], laid_open(product, tmp_path)) == named, product.kind
    (page,) = (product for product in told(Disclosure.OPAQUE) if product.kind == "pdf")
    packed = b"".join(_streams(dcmread(BytesIO(page.content)).EncapsulatedDocument))
    assert len(packed) > len(page.content)


@pytest.mark.parametrize("keyword", ["PatientID", "PatientName", "PatientBirthDate"])
def test_two_patients_raise_before_anything_is_made(keyword: str) -> None:
    images = evidence()
    setattr(images[-1], keyword, NEIGHBOURS["B"][keyword])
    with pytest.raises(StudyDeclined, match="images of 2 patients") as refused:
        reporting(mixed(), images)
    assert found(WORDS, str(refused.value).encode()) == []


# -- the whole way, with the neighbours' studies beside it


class Neighbourly(Assessor):
    """An assessor that finds similar cases."""

    def _looked(self, study: StudyRevision) -> AssessedStudy:
        looked = super()._looked(study)
        return replace(looked, assessment=similar_to(looked.assessment))


def received(assessor: Assessor, study: str, **values: str) -> None:
    """Take in a cardiac study of another patient."""
    for each in cardiac_study(study):
        for keyword, value in values.items():
            setattr(each, keyword, value)
        Intake(assessor.spool, assessor.ledger).accept(part10(each), SOURCE)


def test_neither_log_nor_ledger_nor_file_name_tells_of_another_patient(
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
        Neighbourly(**settings).assess(study, 1)
    assert current(ledger, study).state is State.ASSESSED
    strangers = [*WORDS, *STUDY_UIDS, uid("B"), uid("C")]
    assert found(strangers, repr(lines).encode()) == []
    assert found(["Marked", "MARKED-ID"], repr(lines).encode()) == []
    names = "\n".join(str(path) for path in set(tmp_path.rglob("*")) - before)
    assert found(strangers, names.encode()) == []
    assert found(strangers, (ledger.get_summary(study, 1) or "").encode()) == []
    for product in ledger.list_products(study, 1):
        assert found(strangers, laid_open(product, tmp_path)) == []


def test_the_worker_tells_what_its_site_allows(assessor: Assessor, ledger: SqlLedger) -> None:
    study = uid("study")
    received(assessor, "study")
    assert ledger.move(current(ledger, study), Event.JUDGED_COMPLETE, "quiet")
    settings = vars(assessor) | {"similar_cases": Disclosure.UIDS}
    Neighbourly(**settings).assess(study, 1)
    for product in ledger.list_products(study, 1):
        assert found(STUDY_UIDS, product.content) == STUDY_UIDS
        assert found(numbers(), product.content) == []
