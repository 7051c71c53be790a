"""Changes of a study that do not change what it shows do not change what is chosen from it."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis.strategies import DrawFn, composite, integers, sampled_from

from tests.builders import hearts
from tests.builders.mutations import (
    CHANGING,
    KEEPING,
    DrawnStudy,
    Mutation,
    Study,
    origin,
)
from triage.imaging.series import Selection
from triage.phantom.habits import Vendor

#: Instances that every view takes, in order: the SOP Instance UIDs of their originals.
Anatomy = dict[str, list[str]]
SEEDS = integers(0, 2**32 - 1)
MOST = 5  #: mutations of one study


@cache
def drawn(vendor: Vendor) -> DrawnStudy:
    return hearts.drawn(vendor)


@cache
def expected(vendor: Vendor) -> Anatomy:
    study = drawn(vendor)
    return anatomy(hearts.selected(study.instances), study)


def anatomy(selection: Selection, study: DrawnStudy) -> Anatomy:
    return {
        each.view: [origin(study.meanings, image.header) for image in each.images]
        for each in selection.used
    }


def present(vendor: Vendor, study: Study) -> Anatomy:
    """Return the anatomy as far as its images are still in a study."""
    there = {origin(drawn(vendor).meanings, dataset) for dataset in study}
    return {view: [uid for uid in uids if uid in there] for view, uids in expected(vendor).items()}


def test_there_are_sixty_mutations() -> None:
    assert len(KEEPING) >= 60
    print(len(KEEPING), "keep the meaning,", len(CHANGING), "change it")


@pytest.mark.parametrize("vendor", Vendor)
def test_the_unchanged_study_has_all_views(vendor: Vendor) -> None:
    found = expected(vendor)
    assert set(found) == set(hearts.VIEWS)
    assert {view: len(uids) for view, uids in found.items()} == {
        "cine_lax": hearts.PHASES,
        "cine_sa": hearts.PHASES,
        "lge_sa": hearts.SLICES,
        "lge_lax": 1,
        "lge_2ch": 1,
        "lge_3ch": 1,
    }


@pytest.mark.parametrize(
    ("number", "mutation"),
    list(enumerate(KEEPING.values())),
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_mutation_keeps_views_slices_and_phases(number: int, mutation: Mutation) -> None:
    vendor = list(Vendor)[number % len(Vendor)]
    study = mutation.apply(drawn(vendor).instances, drawn(vendor), seed=number)
    assert anatomy(hearts.selected(study), drawn(vendor)) == present(vendor, study)


@composite
def several(draw: DrawFn) -> list[Mutation]:
    """Return mutations of which no two touch the same evidence."""
    chosen: list[Mutation] = []
    for _ in range(draw(integers(2, MOST))):
        taken = {kind for mutation in chosen for kind in mutation.touches}
        free = [
            each for each in KEEPING.values() if each not in chosen and not each.touches & taken
        ]
        chosen.append(draw(sampled_from(free)))
    return chosen


@given(sampled_from(Vendor), several(), SEEDS)
@settings(max_examples=40, deadline=None)
def test_mutations_together_keep_views_slices_and_phases(
    vendor: Vendor, mutations: list[Mutation], seed: int
) -> None:
    study = drawn(vendor).instances
    for number, mutation in enumerate(mutations):
        study = mutation.apply(study, drawn(vendor), (seed + number) % 2**32)
    assert anatomy(hearts.selected(study), drawn(vendor)) == present(vendor, study)


CINES = {"cine_lax", "cine_sa"}
LATE = {"lge_sa", "lge_lax", "lge_2ch", "lge_3ch"}
#: What becomes of a study: the views that are lost, and a part of the reason or evidence.
BECOMES = {
    "all_times_equal": (CINES, "not a cine"),
    "times_of_a_minute": (CINES, "perfusion"),
    "half_of_each_cycle_missing": (CINES, "not a cine: 4 phases"),
    "no_short_axis": ({"cine_sa"}, "no SAX view among"),
    "no_four_chamber": (set(), "used because the study has no 4CH"),
    "no_late_enhancement": (LATE, "the study has no delayed enhancement"),
    "late_enhancement_without_any_evidence": (LATE, "not a cine: 1 phase"),
    "cines_named_flow": (CINES, "flow, by its name"),
    "cines_are_phase_images": (CINES, "phase images, not magnitude"),
    "positions_missing": (CINES | LATE, "no usable position and orientation"),
    "modality_ct": (CINES | LATE, "modality CT, not MR"),
    "middle_slice_missing": (set(), "slice 3 of 5"),
}


@pytest.mark.parametrize("mutation", CHANGING.values(), ids=lambda mutation: mutation.name)
def test_a_change_of_the_meaning_is_seen_and_explained(mutation: Mutation) -> None:
    study = drawn(Vendor.SIEMENS)
    found = hearts.selected(mutation.apply(study.instances, study, seed=7))
    lost, text = BECOMES[mutation.name]
    assert {each.view for each in found.missing} == lost
    reasons = {each.reason for each in found.missing} | {each.reason for each in found.unused}
    assert any(text in reason for reason in reasons | {each.why for each in found.used})
