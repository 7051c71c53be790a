"""Series with other names, and divided into series in other ways."""

from collections.abc import Callable

from pydicom import Dataset

from tests.builders.images import uid
from tests.builders.mutations.study import (
    Change,
    Given,
    Study,
    changed,
    depth,
    each,
    keeps,
    named,
    one_name_a_series,
)
from tests.builders.series_words import WORDS, WRONG_WORDS
from triage.imaging.geometry import read_number


def _renamed(language: str) -> Change:
    """Return a mutation that names all series in one language."""

    def change(given: Given) -> Study:
        words = WORDS[language]
        new = []
        for dataset in given.study:
            meaning = given.meaning(dataset)
            if meaning is None:
                new.append(dataset)
                continue
            parts = [words[meaning.sequence], words[meaning.view]]
            name = "_ "[int(given.rng.integers(2))].join(parts)
            new.append(named(dataset, name))
        return one_name_a_series(new)

    change.__name__ = f"names_in_{language}"
    return change


for _language in WORDS:
    keeps("name")(_renamed(_language))


@keeps("name")
def names_of_other_views(given: Given) -> Study:
    """Name every cine after another view: planes are not changed by names."""
    wrong = [
        named(dataset, WRONG_WORDS[int(given.rng.integers(len(WRONG_WORDS)))])
        if given.is_cine(dataset)
        else dataset
        for dataset in given.study
    ]
    return one_name_a_series(wrong)


@keeps("name")
def names_of_digits(given: Given) -> Study:
    """Give names that say nothing, as long as a name may be."""
    numbers = {str(d.SeriesInstanceUID): str(given.rng.integers(10**9)) * 7 for d in given.study}
    return [
        named(d, numbers[str(d.SeriesInstanceUID)]) if given.meaning(d) else d for d in given.study
    ]


@keeps("name")
def names_empty(given: Given) -> Study:
    """Remove the names of all series that attributes describe."""
    return [
        changed(d, SeriesDescription="", ProtocolName=None) if given.meaning(d) else d
        for d in given.study
    ]


@keeps("name")
def names_in_capitals(given: Given) -> Study:
    """Write names in capitals, between blanks."""
    return [
        changed(d, SeriesDescription=f"  {str(d.SeriesDescription).upper()} ") for d in given.study
    ]


@keeps("name")
def names_in_protocol_only(given: Given) -> Study:
    """Leave the name to Protocol Name."""
    return [
        changed(d, ProtocolName=str(d.SeriesDescription), SeriesDescription="") for d in given.study
    ]


@keeps("name")
def names_with_long_endings(given: Given) -> Study:
    """Add digits to every name until it is longer than the standard permits."""
    return [changed(d, SeriesDescription=f"{d.SeriesDescription} {'1' * 60}") for d in given.study]


def _grouped(study: Study, key: Callable[[int, Dataset], object]) -> Study:
    """Return a study with a series for each key, apart from added instances."""
    return [
        changed(dataset, SeriesInstanceUID=uid("grouped", key(number, dataset)))
        for number, dataset in enumerate(study)
    ]


@keeps("series")
def one_series_per_slice(given: Given) -> Study:
    """Make a series of each slice."""
    return _grouped(given.study, lambda _, d: (d.SeriesInstanceUID, depth(d)))


@keeps("series")
def one_series_per_image(given: Given) -> Study:
    """Make a series of each image."""
    return _grouped(given.study, lambda _, d: d.SOPInstanceUID)


@keeps("series")
def series_split_at_random(given: Given) -> Study:
    """Divide every series into three, at random."""
    parts = given.rng.integers(3, size=len(given.study))
    return _grouped(given.study, lambda number, d: (d.SeriesInstanceUID, int(parts[number])))


@keeps("series")
def series_split_by_time(given: Given) -> Study:
    """Make two series of each: the first and the second half of the cycle."""
    return _grouped(
        given.study, lambda _, d: (d.SeriesInstanceUID, (read_number(d, "TriggerTime") or 0) > 300)
    )


@keeps("series", "name")
def all_in_one_series(given: Given) -> Study:
    """Put all images of the unchanged study into one series without a name."""
    return [
        changed(d, SeriesInstanceUID=uid("one"), SeriesDescription="", ProtocolName=None)
        if given.meaning(d)
        else d
        for d in given.study
    ]


@keeps("series", "name")
def cines_in_one_series(given: Given) -> Study:
    """Put all cines into one series."""
    return [
        named(changed(d, SeriesInstanceUID=uid("cines")), "cine") if given.is_cine(d) else d
        for d in given.study
    ]


@keeps("series number")
def series_numbers_shuffled(given: Given) -> Study:
    """Number the series in another order."""
    series = sorted({str(dataset.SeriesInstanceUID) for dataset in given.study})
    numbers = dict(zip(series, given.rng.permutation(len(series)).tolist(), strict=True))
    return [changed(d, SeriesNumber=numbers[str(d.SeriesInstanceUID)] + 1) for d in given.study]


@keeps("series number")
def series_numbers_missing(given: Given) -> Study:
    """Remove the numbers of all series."""
    return each(given.study, SeriesNumber=None)
