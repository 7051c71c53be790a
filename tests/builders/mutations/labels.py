"""Other numbers, UIDs, image types and elements that do not describe the plane or time."""

from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from tests.builders.images import uid
from tests.builders.mutations.study import Given, Study, changed, each, keeps, replaced


@keeps("instance number")
def instance_numbers_shuffled(given: Given) -> Study:
    """Number the instances in another order."""
    numbers = given.rng.permutation(len(given.study)).tolist()
    return [changed(d, InstanceNumber=n + 1) for d, n in zip(given.study, numbers, strict=True)]


@keeps("instance number")
def instance_numbers_reversed(given: Given) -> Study:
    """Number the instances from the last one."""
    return [changed(d, InstanceNumber=len(given.study) - n) for n, d in enumerate(given.study)]


@keeps("instance number")
def instance_numbers_equal(given: Given) -> Study:
    """Give all instances the number 1."""
    return each(given.study, InstanceNumber=1)


@keeps("instance number")
def instance_numbers_missing(given: Given) -> Study:
    """Remove the numbers of all instances."""
    return each(given.study, InstanceNumber=None)


@keeps()
def arrival_shuffled(given: Given) -> Study:
    """Let the instances arrive in another order."""
    return [given.study[index] for index in given.rng.permutation(len(given.study))]


@keeps()
def arrival_reversed(given: Given) -> Study:
    """Let the instances arrive from the last one."""
    return given.study[::-1]


@keeps()
def instances_sent_twice(given: Given) -> Study:
    """Send a third of the instances again, under the same UID."""
    again = given.rng.choice(len(given.study), len(given.study) // 3, replace=False)
    return [*given.study, *(given.study[index] for index in again)]


@keeps()
def new_uids(given: Given) -> Study:
    """Give all instances, series and the study other UIDs."""
    return [
        changed(
            dataset,
            SOPInstanceUID=f"{dataset.SOPInstanceUID}.8",
            SeriesInstanceUID=uid("new", dataset.SeriesInstanceUID),
            StudyInstanceUID=uid("new", dataset.StudyInstanceUID),
        )
        for dataset in given.study
    ]


@keeps("instances")
def one_image_missing(given: Given) -> Study:
    """Lose one image of a cine."""
    cines = [n for n, dataset in enumerate(given.study) if given.is_cine(dataset)]
    lost = int(given.rng.choice(cines))
    return [dataset for number, dataset in enumerate(given.study) if number != lost]


def _with_image_type(dataset: Dataset, *values: str) -> Dataset:
    return changed(dataset, ImageType=[*map(str, dataset.ImageType), *values])


@keeps("image type")
def image_type_with_filters(given: Given) -> Study:
    """Add values that state filters to all images."""
    return [_with_image_type(dataset, "FIL", "MFSPLIT", "NORM") for dataset in given.study]


@keeps("image type")
def image_type_differs_by_slice(given: Given) -> Study:
    """State a distortion correction in every second slice only."""
    odd = [dataset for part in given.short_axis()[::2] for dataset in part]
    return replaced(given.study, [_with_image_type(dataset, "DIS2D") for dataset in odd])


@keeps("image type")
def image_type_derived(given: Given) -> Study:
    """Call all images derived, as Philips does."""
    return [
        changed(d, ImageType=["DERIVED", *map(str, d.ImageType[1:])]) if given.meaning(d) else d
        for d in given.study
    ]


@keeps("image type")
def image_type_missing(given: Given) -> Study:
    """Remove the image type of the cines."""
    return [changed(d, ImageType=None) if given.is_cine(d) else d for d in given.study]


@keeps("image type")
def image_type_of_an_export(given: Given) -> Study:
    """Leave the two values that the standard demands."""
    return [
        changed(d, ImageType=["ORIGINAL", "PRIMARY"]) if given.is_cine(d) else d
        for d in given.study
    ]


@keeps("private")
def private_elements(given: Given) -> Study:
    """Add a private block with a name that would be a localizer's."""
    new = []
    for dataset in given.study:
        other = changed(dataset)
        other.private_block(0x0029, "SITE", create=True).add_new(0x01, "LO", "localizer flow")
        new.append(other)
    return new


@keeps("body part")
def body_part_missing(given: Given) -> Study:
    """Remove the body part."""
    return each(given.study, BodyPartExamined=None)


@keeps("body part")
def body_part_chest(given: Given) -> Study:
    """Call the body part chest."""
    return each(given.study, BodyPartExamined="CHEST")


@keeps("scanner")
def scanner_missing(given: Given) -> Study:
    """Remove maker, model and software."""
    return each(given.study, Manufacturer=None, ManufacturerModelName=None, SoftwareVersions=None)


@keeps("options")
def scan_options_missing(given: Given) -> Study:
    """Remove options and sequence name of the cines."""
    return [
        changed(d, ScanOptions=None, SequenceName=None) if given.is_cine(d) else d
        for d in given.study
    ]


@keeps("variant")
def sequence_variant_missing(given: Given) -> Study:
    """Remove the sequence variant of the cines."""
    return [changed(d, SequenceVariant=None) if given.is_cine(d) else d for d in given.study]


@keeps("timing")
def echo_and_repetition_missing(given: Given) -> Study:
    """Remove echo and repetition time and flip angle of the cines."""
    return [
        changed(d, EchoTime=None, RepetitionTime=None, FlipAngle=None) if given.is_cine(d) else d
        for d in given.study
    ]


@keeps("acquisition number")
def acquisition_numbers_of_images(given: Given) -> Study:
    """Count every image as an acquisition."""
    return [changed(d, AcquisitionNumber=n) for n, d in enumerate(given.study)]


@keeps("acquisition number")
def acquisition_numbers_missing(given: Given) -> Study:
    """Remove the acquisition numbers."""
    return each(given.study, AcquisitionNumber=None)


@keeps("length")
def element_of_wrong_length(given: Given) -> Study:
    """State a smallest pixel value of three bytes."""
    new = []
    for dataset in given.study:
        other = changed(dataset)
        tag = Tag("SmallestImagePixelValue")
        other._dict[tag] = RawDataElement(
            tag, "US", 3, b"\1\0\2", 0, is_implicit_VR=False, is_little_endian=True
        )
        new.append(other)
    return new


@keeps("comment")
def comments_with_other_words(given: Given) -> Study:
    """Write words of other sequences into elements that do not name a series."""
    return each(
        given.study, ImageComments="localizer flow T1 map", StudyDescription="CMR stress perf"
    )
