import pytest

from triage.domain.errors import ConfigurationError
from triage.yaml_models import StrictModel, parse


class Inner(StrictModel):
    port: int


class Outer(StrictModel):
    name: str
    inner: Inner = Inner(port=1)
    many: tuple[Inner, ...] = ()


NO_INTEGER = "Input should be a valid integer, unable to parse string as an integer"


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as error:
        parse(text, Outer, "site.yaml")
    return str(error.value).splitlines()


def test_each_error_has_file_line_and_field() -> None:
    assert problems("name: a\ninner:\n  port: x\nmany:\n  - port: 1\n  - prot: 2\n") == [
        f"site.yaml, line 3: inner.port: {NO_INTEGER}",
        "site.yaml, line 6: many.1.port: is missing",
        "site.yaml, line 6: many.1.prot: is no known field; check its spelling",
    ]


def test_a_missing_field_is_reported_at_the_line_of_its_part() -> None:
    assert problems("inner:\n  port: 1\n") == ["site.yaml, line 1: name: is missing"]


def test_a_repeated_key_is_an_error() -> None:
    assert problems("name: a\nname: b\n") == ["site.yaml, line 2: name: is given twice"]


@pytest.mark.parametrize("text", ["name: [", "name: a\n\tb: c", "{", "name: @x"])
def test_invalid_yaml_is_reported_with_its_line(text: str) -> None:
    assert "site.yaml, line" in problems(text)[0]
    assert "not YAML" in problems(text)[0]


@pytest.mark.parametrize("text", ["- a", "just text", "42"])
def test_a_document_that_is_no_mapping_is_an_error(text: str) -> None:
    assert problems(text)


def test_an_overlay_sets_single_fields() -> None:
    outer = parse("name: a\n", Outer, "site.yaml", {("inner", "port"): "7"})
    assert outer.inner.port == 7


def test_a_wrong_overlay_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="inner"):
        parse("name: a\ninner: 5\n", Outer, "site.yaml", {("inner", "port"): "7"})
