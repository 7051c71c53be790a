"""The table of rules, with the rules that a site adds."""

from pathlib import Path

import pytest

from tests.builders.images import cardiac_study, image
from triage.domain.errors import ConfigurationError
from triage.imaging.images import Image
from triage.imaging.rules import (
    DEFAULT_RULES,
    ImageFacts,
    SequenceType,
    find_match,
    load_rules,
    read_text,
    series_name,
)
from triage.imaging.series import select_views


def site(folder: Path, content: str) -> Path:
    path = folder / "series.yaml"
    path.write_text(content, encoding="utf-8")
    return path


def test_rules_of_a_site_come_first(tmp_path: Path) -> None:
    rules = load_rules(
        site(
            tmp_path,
            "sequences:\n  - {attribute: StationName, pattern: '^MR2$', means: localizer}\n"
            "views:\n  - {attribute: name, pattern: '^cine sax', means: AORTA}\n",
        )
    )
    header = image(StationName="MR2", SeriesDescription="cine 4ch")
    match = find_match(rules.sequences, ImageFacts("cine 4ch", header))
    assert match is not None
    assert (match.means, match.why) == (SequenceType.LOCALIZER, "by its StationName")
    images = [Image(str(number), dataset) for number, dataset in enumerate(cardiac_study())]
    selection = select_views(images, ("cine_lax", "cine_sa"), rules)
    assert [view.view for view in selection.used] == ["cine_lax"]
    assert {stack.reason for stack in selection.unused if "sax" in stack.series_description} == {
        "cine, AORTA by its name, not confirmed by geometry"
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{attribute: SeriesName, pattern: x, means: cine}", "neither `name` nor a DICOM keyword"),
        ("{attribute: name, pattern: '(', means: cine}", "is not a regular expression"),
        ("{attribute: name, pattern: x, means: movie}", "Input should be 'cine', 'lge'"),
        ("{attribute: name, pattern: x}", "means: is missing"),
    ],
)
def test_an_error_names_its_line(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match="line 2") as error:
        load_rules(site(tmp_path, f"sequences:\n  - {line}\n"))
    assert message in str(error.value)


def test_every_shipped_rule_is_read() -> None:
    rules = load_rules()
    lines = DEFAULT_RULES.read_text(encoding="utf-8").count("- {attribute:")
    assert lines == len(rules.sequences) + len(rules.views) + len(rules.variants)


def test_a_series_is_named_by_its_description_or_else_its_protocol() -> None:
    assert series_name(image(SeriesDescription="  a ", ProtocolName="b")) == "a"
    assert series_name(image(SeriesDescription="", ProtocolName="b")) == "b"
    assert not series_name(image(SeriesDescription=None))


def test_single_and_multiple_values_are_read_as_text() -> None:
    header = image(ImageType=["ORIGINAL", "Primary"], EchoTime=1.5)
    assert read_text(header, "ImageType") == "ORIGINAL\\PRIMARY"
    assert read_text(header, "EchoTime") == "1.5"
    assert not read_text(header, "Manufacturer")
