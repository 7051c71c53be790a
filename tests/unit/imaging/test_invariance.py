"""Vendor, form, order, duplicates, splits and names do not change the frames."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import (
    DrawFn,
    composite,
    integers,
    lists,
    permutations,
    sampled_from,
    text,
)

from tests.builders.hearts import VIEWS, concatenated, frames, instances
from tests.builders.images import uid
from tests.builders.mutations.study import changed
from triage.phantom.habits import Vendor
from triage.ports.encoder import Frames

STUDY = instances(Vendor.SIEMENS)
EXPECTED = frames(STUDY)
COUNT = len(STUDY)
some = settings(max_examples=15, deadline=None)


def assert_same(found: dict[str, Frames]) -> None:
    assert found.keys() == EXPECTED.keys()
    for view, expected in EXPECTED.items():
        assert np.array_equal(found[view], expected), view


@pytest.mark.parametrize("vendor", Vendor)
@pytest.mark.parametrize("enhanced", [False, True], ids=["classic", "enhanced"])
def test_the_same_pixels_give_the_same_frames_for_every_vendor(
    vendor: Vendor, *, enhanced: bool
) -> None:
    found = frames(instances(vendor, enhanced=enhanced))
    assert set(found) == set(VIEWS)
    for view, expected in EXPECTED.items():
        off = np.abs(found[view].astype(int) - expected.astype(int)).max()
        assert off <= 1, (view, off)


@pytest.mark.parametrize("parts", [2, 5])
def test_a_concatenation_is_one_image(parts: int) -> None:
    whole = instances(Vendor.GE, enhanced=True)
    many = [
        part
        for dataset in whole
        for part in (concatenated(dataset, parts) if dataset.NumberOfFrames >= parts else [dataset])
    ]
    assert len(many) > len(whole)
    found = frames(many)
    for view, expected in frames(whole).items():
        assert np.array_equal(found[view], expected), view


@given(permutations(range(COUNT)))
@some
def test_the_order_of_arrival_changes_no_frame(order: list[int]) -> None:
    assert_same(frames([STUDY[index] for index in order]))


@given(lists(integers(0, COUNT - 1), max_size=40))
@some
def test_duplicates_under_the_same_uid_change_no_frame(again: list[int]) -> None:
    assert_same(frames([*STUDY, *(STUDY[index] for index in again)]))


@given(integers(0, 7), integers(1, 99999))
@some
def test_a_series_sent_again_under_new_uids_changes_no_frame(which: int, number: int) -> None:
    series = sorted({str(dataset.SeriesInstanceUID) for dataset in STUDY})[which]
    copies = [
        changed(
            dataset,
            SeriesInstanceUID=uid("again", series),
            SOPInstanceUID=uid("again", dataset.SOPInstanceUID),
            SeriesNumber=number,
        )
        for dataset in STUDY
        if dataset.SeriesInstanceUID == series
    ]
    assert_same(frames([*STUDY, *copies]))


@given(lists(integers(0, 2), min_size=COUNT, max_size=COUNT))
@some
def test_splitting_series_changes_no_frame(parts: list[int]) -> None:
    split = [
        changed(
            dataset, SeriesInstanceUID=uid(dataset.SeriesInstanceUID, part), SeriesNumber=part + 1
        )
        for dataset, part in zip(STUDY, parts, strict=True)
    ]
    assert_same(frames(split))


@given(integers(0, 2**32 - 1))
@some
def test_joining_and_renumbering_series_changes_no_frame(seed: int) -> None:
    numbers = np.random.default_rng(seed).permutation(COUNT)
    joined = [
        changed(
            dataset, SeriesInstanceUID=uid("all"), InstanceNumber=int(number) + 1, SeriesNumber=1
        )
        for dataset, number in zip(STUDY, numbers, strict=True)
    ]
    assert_same(frames(joined))


@composite
def names(draw: DrawFn) -> str:
    """A name without a view, or with a wrong one."""
    neutral = text("0123456789 _-.äöß漢字", max_size=20)
    return draw(neutral) if draw(integers(0, 1)) else draw(sampled_from(WRONG_NAMES))


WRONG_NAMES = ("4CH", "2CH", "3CH", "SAX", "short axis", "HLA", "series 7", "2CH 3CH 4CH")


@given(lists(names(), min_size=20, max_size=20))
@some
def test_renaming_series_changes_no_frame(new: list[str]) -> None:
    series = sorted({str(dataset.SeriesInstanceUID) for dataset in STUDY})
    called = dict(zip(series, new, strict=False))
    renamed = [
        changed(dataset, SeriesDescription=called[str(dataset.SeriesInstanceUID)], ProtocolName="")
        for dataset in STUDY
    ]
    assert_same(frames(renamed))
