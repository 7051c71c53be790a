"""Further series and repeats."""

from pydicom import Dataset
from pydicom.uid import CTImageStorage, EnhancedSRStorage

from tests.builders.images import uid
from tests.builders.mutations.study import (
    Change,
    Given,
    Study,
    changed,
    copied,
    keeps,
    named,
    phase_numbers,
)
from triage.imaging.rules import View
from triage.phantom.stack import PhantomSequence


def _with(*kinds: PhantomSequence) -> Change:
    def change(given: Given) -> Study:
        return [*given.study, *(dataset for kind in kinds for dataset in given.extras[kind])]

    words = "_and_".join(str(kind).lower().replace(" ", "_").replace("-", "_") for kind in kinds)
    change.__name__ = f"also_{words}"
    return change


EXTRAS = (
    PhantomSequence.LOCALIZER,
    PhantomSequence.TI_SCOUT,
    PhantomSequence.T1_MAP,
    PhantomSequence.T2_MAP,
    PhantomSequence.PERFUSION,
    PhantomSequence.FLOW,
    PhantomSequence.T2W,
)
for _kind in EXTRAS:
    keeps(f"also {_kind}", "series number")(_with(_kind))


@keeps("also flow", "series number", "name")
def also_flow_with_the_name_of_a_view(given: Given) -> Study:
    """Add flow that is named after a view."""
    flow = given.extras[PhantomSequence.FLOW]
    return [*given.study, *(named(dataset, "Fluss_ASD_4CH") for dataset in flow)]


@keeps("also tagging", "name")
def also_tagging(given: Given) -> Study:
    """Add a tagged cine of one slice."""
    part = given.short_axis()[0]
    return [
        *given.study,
        *(_added(named(copied(d, 91), "SAX_tagging"), n) for n, d in enumerate(part)),
    ]


@keeps("also derived")
def also_derived_images(given: Given) -> Study:
    """Add the projection of a slice."""
    first = given.short_axis()[0][0]
    derived = changed(copied(first, 92), ImageType=["DERIVED", "SECONDARY", "MIP"])
    return [*given.study, _added(derived, 1)]


@keeps("also reports")
def also_other_modalities(given: Given) -> Study:
    """Add a CT image and a report."""
    first = given.study[0]
    return [
        *given.study,
        _added(changed(copied(first, 93), Modality="CT", SOPClassUID=CTImageStorage), 2),
        _added(changed(copied(first, 94), Modality="SR", SOPClassUID=EnhancedSRStorage), 3),
    ]


def _added(dataset: Dataset, number: int) -> Dataset:
    """Return an instance whose UID shows no origin in the unchanged study."""
    return changed(dataset, SOPInstanceUID=uid("added", dataset.SOPInstanceUID, number))


@keeps("repeat", "series", "series number", "instances")
def repeat_of_a_slice_later(given: Given) -> Study:
    """Take one slice of the short axis once more, at the same times."""
    parts = given.short_axis()
    again = parts[int(given.rng.integers(len(parts)))]
    return [*given.study, *(copied(dataset, 90, SeriesNumber=9000) for dataset in again)]


@keeps("repeat", "series", "series number", "instances")
def repeat_of_a_long_axis_later(given: Given) -> Study:
    """Take the four-chamber cine once more, at the same times."""
    again = [d for d in given.study if given.is_cine(d, View.FOUR_CHAMBER)]
    return [*given.study, *(copied(dataset, 90, SeriesNumber=9000) for dataset in again)]


@keeps("repeat", "series", "series number", "instances", "time")
def repeat_at_other_times(given: Given) -> Study:
    """Take the four-chamber cine once more, while the heart beats slower."""
    again = [
        copied(d, 90, SeriesNumber=9000, TriggerTime=f"{float(d.TriggerTime) * 1.04 + 12.5:.4f}")
        for d in given.study
        if given.is_cine(d, View.FOUR_CHAMBER) and "TriggerTime" in d
    ]
    return [*given.study, *again]


@keeps("repeat", "series", "series number", "instances")
def second_round_incomplete(given: Given) -> Study:
    """Stop a second round of the four-chamber cine, in the same series, by hand."""
    four = [d for d in given.study if given.is_cine(d, View.FOUR_CHAMBER)]
    phases = phase_numbers(given)
    again = [
        changed(d, SOPInstanceUID=f"{d.SOPInstanceUID}.90", InstanceNumber=1000 + n)
        for n, d in enumerate(four)
        if phases[str(d.SOPInstanceUID)] <= len(four) * 3 // 5
    ]
    return [*given.study, *again]
