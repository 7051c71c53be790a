from dataclasses import replace
from itertools import combinations

import pytest
from pydicom.uid import UID

from tests.builders.assessments import EQUIPMENT, mixed
from triage.domain.errors import ConfigurationError
from triage.reports import identity


def test_uid_is_a_valid_uuid_derived_uid() -> None:
    for number in range(200):
        made = UID(identity.uid("part", str(number)))
        assert made.is_valid
        assert 0 < int(made.removeprefix("2.25.")) < 2**128


def test_boundaries_between_parts_change_the_uid() -> None:
    ways = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ("c", "ab")]
    for one, other in combinations(ways, 2):
        assert identity.uid(*one) != identity.uid(*other)


def test_uid_does_not_change_between_releases() -> None:
    # Computed by hand from SHA-256: a change would separate the reports of one study.
    assert identity.uid("series", "a") == "2.25.186669995057626422558972794341043664497"


def test_the_instance_uid_depends_on_encoder_kind_and_class() -> None:
    ways = [("1", "a", "b"), ("2", "a", "b"), ("1", "c", "b"), ("1", "a", "c")]
    made = {identity.instance_uid(*way, EQUIPMENT.device_uid, mixed()) for way in ways}
    assert len(made) == len(ways)


def test_series_differ_by_kind_and_study_and_tracking_by_finding() -> None:
    made = {
        identity.series_uid("a", "1.2"),
        identity.series_uid("b", "1.2"),
        identity.series_uid("a", "1.3"),
        identity.tracking_uid("1.2", "a"),
        identity.tracking_uid("1.2", "b"),
    }
    assert len(made) == 5


@pytest.mark.parametrize("field", ["manufacturer", "name", "serial", "software_version"])
def test_device_uid_depends_on_every_field(field: str) -> None:
    assert replace(EQUIPMENT, **{field: "other"}).device_uid != EQUIPMENT.device_uid


@pytest.mark.parametrize("value", ["", "  ", "a\\b", "a\nb", "x" * 65])
def test_equipment_that_dicom_cannot_encode_is_rejected(value: str) -> None:
    with pytest.raises(ConfigurationError, match="serial"):
        replace(EQUIPMENT, serial=value)
