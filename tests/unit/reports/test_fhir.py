"""The FHIR bundle, validated with models of the standard."""

import json
import re
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from tests.builders.assessments import EQUIPMENT, STUDY_UID, evidence
from tests.builders.reportings import KINDS, none_flagged, reporting, usual
from triage.domain.assessment import Presence
from triage.domain.delivery import Product
from triage.domain.finding import FindingCode
from triage.reports import draft, fhir
from triage.reports.reporting import Reporting

Resource = dict[str, Any]


def build_bundle(reporting: Reporting) -> Resource:
    bundle: Resource = json.loads(fhir.build(reporting).content)
    return bundle


def resources(reporting: Reporting, kind: str) -> list[Resource]:
    found = (entry["resource"] for entry in build_bundle(reporting)["entry"])
    return [resource for resource in found if resource["resourceType"] == kind]


def observations(reporting: Reporting) -> dict[str, list[Resource]]:
    """Return evaluations, scores and groups, recognised by their own elements."""
    by_kind: dict[str, list[Resource]] = {"evaluation": [], "score": [], "group": []}
    for resource in resources(reporting, "Observation"):
        kind = "group" if "hasMember" in resource else "evaluation"
        by_kind["score" if "valueQuantity" in resource else kind].append(resource)
    return by_kind


def references(content: Any) -> set[str]:
    if isinstance(content, dict):
        own = {content["reference"]} if "reference" in content else set()
        return own.union(*(references(part) for part in content.values()))
    if isinstance(content, list):
        return set().union(*(references(part) for part in content))
    return set()


@pytest.mark.parametrize("kind", KINDS)
def test_the_bundle_is_valid_and_survives_a_round_trip(kind: str) -> None:
    content = fhir.build(KINDS[kind]()).content
    assert json.loads(Bundle.model_validate_json(content).model_dump_json()) == json.loads(content)


@pytest.mark.parametrize("kind", KINDS)
def test_every_reference_has_an_entry_and_every_entry_is_unique(kind: str) -> None:
    bundle = build_bundle(KINDS[kind]())
    urls = Counter(entry["fullUrl"] for entry in bundle["entry"])
    assert set(urls.values()) == {1}
    assert references(bundle) <= set(urls)
    assert bundle["type"] == "transaction"
    for entry in bundle["entry"]:
        assert re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", entry["resource"]["id"])
        assert not {"", None}.intersection(map(str, entry["resource"].values()))


def test_a_server_that_receives_it_twice_stores_it_once() -> None:
    for entry in build_bundle(KINDS["usual"]())["entry"]:
        resource, request = entry["resource"], entry["request"]
        if resource["resourceType"] == "ImagingStudy":
            assert request["method"] == "POST"
            assert request["ifNoneExist"] == f"identifier=urn:dicom:uid|urn:oid:{STUDY_UID}"
        else:
            assert request["method"] == "PUT"
            assert request["url"] == f"{resource['resourceType']}/{resource['id']}"


def test_report_is_preliminary_and_has_draft_groups_and_key_frames() -> None:
    made = KINDS["usual"]()
    (report,) = resources(made, "DiagnosticReport")
    assert report["status"] == "preliminary"
    assert report["conclusion"] == draft.marked_impression(made.assessment)
    assert "RESEARCH USE ONLY" in report["code"]["text"]
    groups = {f"urn:uuid:{group['id']}" for group in observations(made)["group"]}
    assert {result["reference"] for result in report["result"]} == groups
    media = resources(made, "Media")
    assert len(report["media"]) == len(media) == 4
    frames = {key.image.sop_instance_uid for key in made.assessment.answers[0].key_frames}
    assert {resource["content"]["url"] for resource in media} == {
        f"urn:oid:{uid}" for uid in frames
    }


@pytest.mark.parametrize(("kind", "flagged"), [("usual", "Undetermined"), ("decided", "Present")])
def test_flagged_ruled_out_undetermined_and_not_evaluated_differ(kind: str, flagged: str) -> None:
    values = []
    for resource in observations(KINDS[kind]())["evaluation"]:
        value = resource.get("valueCodeableConcept") or resource["dataAbsentReason"]
        flag = resource["component"][0]["valueCodeableConcept"]["coding"][0]["display"]
        coding = value["coding"][0]
        values.append((coding.get("display", coding["code"]), flag, "interpretation" in resource))
    assert values == [
        (flagged, "Yes", True),
        ("Absent", "No", False),
        ("Undetermined", "No", False),
        ("not-performed", "Not Evaluated", False),
    ]


def test_groups_have_evaluation_and_score_under_the_tracking_uid() -> None:
    found = observations(KINDS["usual"]())
    assert len(found["group"]) == len(found["evaluation"]) == 4
    assert len(found["score"]) == 3
    assert [len(group["hasMember"]) for group in found["group"]] == [2, 2, 2, 1]
    for group in found["group"]:
        assert group["code"]["coding"][0]["code"] == "125007"
        assert group["identifier"][0]["value"].startswith("urn:oid:2.25.")
    first = found["score"][0]
    assert first["valueQuantity"]["value"] == 0.341
    assert first["referenceRange"][0]["high"]["value"] == 0.28


def test_only_a_flag_proposes_to_read_sooner() -> None:
    (task,) = resources(KINDS["usual"](), "Task")
    assert (task["status"], task["intent"], task["priority"]) == ("requested", "proposal", "asap")
    for kind in ("none_flagged", "not_evaluated"):
        assert resources(KINDS[kind](), "Task") == []


def test_a_later_revision_without_flags_cancels_the_task() -> None:
    first = fhir.build(KINDS["usual"]())
    later = replace(none_flagged(), revision=2)
    (task,) = resources(replace(reporting(later), replaced=(first,)), "Task")
    assert task["status"] == "cancelled"
    assert task["id"] == resources(KINDS["usual"](), "Task")[0]["id"]
    other = Product("structured_report", "", "2.25.1", b"")
    assert resources(replace(reporting(later), replaced=(other,)), "Task") == []


def test_a_later_revision_updates_the_resources_in_another_message() -> None:
    later = replace(usual(), revision=2, inputs_digest="ffff" * 16)
    first, second = fhir.build(reporting(usual())), fhir.build(reporting(later))
    ids = [
        [entry["resource"]["id"] for entry in json.loads(message.content)["entry"]]
        for message in (first, second)
    ]
    assert ids[0] == ids[1]
    assert first.sop_instance_uid != second.sop_instance_uid
    elsewhere = replace(reporting(usual()), equipment=replace(EQUIPMENT, serial="site-0002"))
    assert set(ids[0]).isdisjoint(e["resource"]["id"] for e in build_bundle(elsewhere)["entry"])


def test_all_studies_share_one_device() -> None:
    other = "1.2.826.0.1.3680043.10.999.77"
    images = evidence()
    for image in images:
        image.StudyInstanceUID = other
    (here,) = resources(reporting(usual()), "Device")
    (there,) = resources(reporting(replace(usual(), study_uid=other), images), "Device")
    assert here == there


def test_a_patient_without_number_gets_no_identifier() -> None:
    (study,) = resources(KINDS["bare"](), "ImagingStudy")
    assert study["subject"] == {"type": "Patient", "display": "patient without name"}
    assert "started" not in study


def test_a_code_of_a_scheme_unknown_to_fhir_is_text() -> None:
    base = usual()
    finding = replace(base.answers[0].finding, code=FindingCode("X1", "RADLEX", "Big heart"))
    present = replace(base.answers[0], finding=finding, presence=Presence.PRESENT)
    made = reporting(replace(base, answers=(present,)))
    (first,) = observations(made)["evaluation"]
    assert first["code"] == {"text": finding.name}
    (report,) = resources(made, "DiagnosticReport")
    assert report["conclusionCode"] == [{"text": "Big heart (RADLEX X1)"}]
    (flagged,) = resources(reporting(base), "DiagnosticReport")
    assert "conclusionCode" not in flagged


@pytest.mark.parametrize(
    ("time", "offset", "expected"),
    [
        ("101500.5", "+0100", "2024-03-05T10:15:00+01:00"),
        ("10", "-0530", "2024-03-05T10:00:00-05:30"),
        ("101500", "", "2024-03-05"),
        ("", "+0100", "2024-03-05"),
    ],
)
def test_a_time_without_zone_is_a_date(time: str, offset: str, expected: str) -> None:
    assert fhir._when("x", "20240305", time, offset) == {"x": expected}
    assert fhir._when("x", "", time, offset) == {}
