"""A drawn study with what its instances show, and the small steps of mutations."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from tests.builders.images import uid
from triage.imaging.geometry import Vector, read_number, read_plane
from triage.imaging.images import Image
from triage.imaging.rules import SequenceType, View
from triage.imaging.series import select_views
from triage.phantom.stack import PhantomSequence

Study = list[Dataset]


class Meaning(NamedTuple):
    """What an instance of the unchanged study shows."""

    sequence: SequenceType
    view: View


@dataclass(frozen=True)
class DrawnStudy:
    """An unchanged study, and instances of other sequences that may be added to it."""

    instances: Study
    meanings: Mapping[str, Meaning]  #: by SOP Instance UID
    extras: Mapping[PhantomSequence, Study]


def draw(
    instances: Study, extras: Mapping[PhantomSequence, Study], views: Sequence[str]
) -> DrawnStudy:
    """Return a study with the meaning of each instance, as its own headers and names give it."""
    images = [Image(f"{number:05d}", dataset) for number, dataset in enumerate(instances)]
    meanings = {
        str(image.header.SOPInstanceUID): Meaning(seen.recognised.sequence, seen.view)
        for seen in select_views(images, views).stacks
        if seen.recognised.sequence and seen.view
        for image in seen.stack.images
    }
    return DrawnStudy(instances, meanings, extras)


def origin(known: Mapping[str, object], dataset: Dataset) -> str:
    """Return the SOP Instance UID of the original of an instance; empty if it has none."""
    found = str(dataset.SOPInstanceUID)
    while found and found not in known:
        found = found.rpartition(".")[0]
    return found


@dataclass(frozen=True)
class Given:
    """The study that a mutation is applied to."""

    study: Study
    drawn: DrawnStudy
    rng: Generator

    @property
    def extras(self) -> Mapping[PhantomSequence, Study]:
        """Instances that may be added."""
        return self.drawn.extras

    def meaning(self, dataset: Dataset) -> Meaning | None:
        """Return what an instance shows, None for one that was added."""
        return self.drawn.meanings.get(origin(self.drawn.meanings, dataset))

    def is_cine(self, dataset: Dataset, *views: View) -> bool:
        """Return whether an instance is one of a cine, of these views if any are given."""
        meaning = self.meaning(dataset)
        if meaning is None or meaning.sequence is not SequenceType.CINE:
            return False
        return not views or meaning.view in views

    def short_axis(self) -> list[Study]:
        """Return the slices of the short-axis cine."""
        return slices([dataset for dataset in self.study if self.is_cine(dataset, View.SAX)])


Change = Callable[[Given], Study]


class Mutation(NamedTuple):
    """A change of a study, with the kinds of evidence that it touches."""

    name: str
    change: Change
    touches: frozenset[str]

    def apply(self, study: Study, drawn: DrawnStudy, seed: int) -> Study:
        """Return the changed study."""
        return self.change(Given(study, drawn, np.random.default_rng(seed)))


#: Changes that keep the meaning.
KEEPING: dict[str, Mutation] = {}
#: Changes that do not, with what becomes of the study in tests/unit/imaging/test_mutations.py.
CHANGING: dict[str, Mutation] = {}


def keeps(*touches: str) -> Callable[[Change], Change]:
    """Register a mutation that keeps the meaning."""

    def register(change: Change) -> Change:
        KEEPING[change.__name__] = Mutation(change.__name__, change, frozenset(touches))
        return change

    return register


def changes(change: Change) -> Change:
    """Register a mutation that changes the meaning."""
    CHANGING[change.__name__] = Mutation(change.__name__, change, frozenset())
    return change


# -- small steps


def changed(instance: Dataset, **values: object) -> Dataset:
    """Return a copy of an instance with other elements; None removes one.

    pydicom assigns to the element that both data sets share, so it is taken away first.
    """
    other = copy(instance)
    other._dict = dict(instance._dict)
    for keyword, value in values.items():
        other._dict.pop(tag_for_keyword(keyword), None)  # type: ignore[call-overload]
        if value is not None:
            setattr(other, keyword, value)
    return other


def copied(instance: Dataset, number: int, **values: object) -> Dataset:
    """Return another instance of another series with the same content."""
    return changed(
        instance,
        SOPInstanceUID=f"{instance.SOPInstanceUID}.{number}",
        SeriesInstanceUID=uid("copied", number, instance.SeriesInstanceUID),
        **values,
    )


def each(study: Study, **values: object) -> Study:
    """Return a study with the same elements in all instances."""
    return [changed(dataset, **values) for dataset in study]


def normal(dataset: Dataset) -> Vector:
    """Return the unit normal of an instance."""
    plane = read_plane(dataset)
    assert plane is not None
    return plane.normal


def depth(dataset: Dataset) -> float:
    """Return how far along its normal an instance is, mm."""
    position = np.array(dataset.ImagePositionPatient, float)
    return round(float(normal(dataset) @ position), 1)


def slices(study: Study) -> list[Study]:
    """Return the instances of each slice of parallel planes, along the normal."""
    found: dict[float, Study] = {}
    for dataset in study:
        found.setdefault(depth(dataset), []).append(dataset)
    return [found[place] for place in sorted(found)]


def replaced(study: Study, new: Iterable[Dataset]) -> Study:
    """Return a study with instances replaced by those of the same SOP Instance UID."""
    by_uid = {str(dataset.SOPInstanceUID): dataset for dataset in new}
    return [by_uid.get(str(dataset.SOPInstanceUID), dataset) for dataset in study]


def moved(dataset: Dataset, by: Vector) -> Dataset:
    """Return an instance that is moved, mm."""
    position = np.array(dataset.ImagePositionPatient, float) + by
    return changed(dataset, ImagePositionPatient=[f"{value:.4f}" for value in position])


def cropped(dataset: Dataset, rows: int) -> Dataset:
    """Return an instance without as many rows at its top and bottom."""
    row_mm = float(dataset.PixelSpacing[0])
    plane = read_plane(dataset)
    assert plane is not None
    pixels = np.frombuffer(dataset.PixelData, np.uint16).reshape(dataset.Rows, dataset.Columns)
    inside = pixels[rows:-rows].tobytes()
    other = moved(dataset, plane.column * row_mm * rows)
    return changed(other, Rows=dataset.Rows - 2 * rows, PixelData=inside)


def named(dataset: Dataset, name: str) -> Dataset:
    values: dict[str, object] = {"SeriesDescription": name, "ProtocolName": name}
    return changed(dataset, SpecificCharacterSet="ISO_IR 192", **values)


def one_name_a_series(study: Study) -> Study:
    """Return a study where all instances of a series have the name of its first one."""
    names: dict[str, str] = {}
    for dataset in study:
        names.setdefault(str(dataset.SeriesInstanceUID), str(dataset.SeriesDescription))
    return [named(dataset, names[str(dataset.SeriesInstanceUID)]) for dataset in study]


def timed(given: Given, time: Callable[[Dataset, float], float | None]) -> Study:
    """Return a study with other trigger times in its cines."""
    new = []
    for dataset in given.study:
        before = read_number(dataset, "TriggerTime")
        if before is None or not given.is_cine(dataset):
            new.append(dataset)
            continue
        after = time(dataset, before)
        new.append(changed(dataset, TriggerTime=None if after is None else f"{after:.4f}"))
    return new


def phase_numbers(given: Given) -> dict[str, int]:
    """Return the phase of each image of a cine, from 1, by SOP Instance UID."""
    places: dict[tuple[object, ...], Study] = {}
    for dataset in given.drawn.instances:
        if given.is_cine(dataset):
            places.setdefault((given.meaning(dataset), depth(dataset)), []).append(dataset)
    ordered = (
        sorted(part, key=lambda d: read_number(d, "TriggerTime") or 0.0) for part in places.values()
    )
    originals = {str(d.SOPInstanceUID): n for part in ordered for n, d in enumerate(part, start=1)}
    cines = [dataset for dataset in given.study if given.is_cine(dataset)]
    return {str(d.SOPInstanceUID): originals[origin(originals, d)] for d in cines}
