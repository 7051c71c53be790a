"""What holds for the page, its companions and the messages alike: purity and privacy."""

import os
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders.assessments import ROOT as UIDS
from tests.builders.assessments import STUDY_UID
from tests.builders.products import BUILDERS
from tests.builders.reportings import KINDS, PRIOR, reporting, with_similar
from tests.unit.reports.golden import page_text
from triage.domain.assessment import Disclosure
from triage.domain.errors import StudyDeclined
from triage.reports import fhir, hl7

ROOT = Path(__file__).parents[3]
BUILDER = pytest.mark.parametrize("kind", BUILDERS)
ELSEWHERE = """
import sys
from hashlib import sha256
from tests.builders.reportings import KINDS
from tests.builders.products import BUILDERS
for kind in ("similar_cases", "japanese_name"):
    for build in BUILDERS.values():
        product = build(KINDS[kind]())
        print(sha256(product.content).hexdigest(), product.sop_instance_uid)
"""


def test_same_input_gives_same_bytes_in_another_process_and_zone() -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    said = [
        subprocess.run(
            [sys.executable, "-c", ELSEWHERE],
            env={**environment, "TZ": zone},
            check=True,
            capture_output=True,
            cwd=ROOT,
        ).stdout
        for zone in ("UTC", "Asia/Tokyo")
    ]
    assert said[0] == said[1]
    assert len(said[0].splitlines()) == 2 * len(BUILDERS)


@BUILDER
def test_order_of_the_evidence_does_not_matter(kind: str) -> None:
    made = KINDS["usual"]()
    turned = replace(made, evidence=list(made.evidence)[::-1])
    assert BUILDERS[kind](turned) == BUILDERS[kind](made)


@BUILDER
def test_evidence_is_left_as_it_was(kind: str) -> None:
    made = KINDS["usual"]()
    before = deepcopy(made.evidence)
    BUILDERS[kind](made)
    assert made.evidence == before


@BUILDER
def test_two_patients_are_refused(kind: str) -> None:
    made = KINDS["usual"]()
    made.evidence[0].PatientName = "Other^Person"
    with pytest.raises(StudyDeclined, match="2 patients"):
        BUILDERS[kind](made)


@BUILDER
def test_no_uid_of_another_patient_is_in_any_byte(kind: str) -> None:
    strangers = with_similar(uids=True).similar[1:]
    made = reporting(with_similar())
    content = BUILDERS[kind](made).content + page_text(made).encode()
    for case in strangers:
        assert case.study_uid.startswith(UIDS)
        assert case.study_uid.encode() not in content
    assert PRIOR.sop_instance_uid.encode() not in content


@pytest.mark.parametrize("kind", [hl7.KIND, fhir.KIND])
def test_messages_tell_of_no_similar_case_at_all(kind: str) -> None:
    alone = replace(with_similar(), similar=())
    told = reporting(with_similar(uids=True), similar_cases=Disclosure.UIDS)
    content = BUILDERS[kind](told).content
    assert content == BUILDERS[kind](reporting(alone)).content
    assert STUDY_UID.encode() in content
