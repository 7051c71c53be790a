import time
from itertools import pairwise
from typing import Literal

import pytest
from pydantic import field_validator

from triage.domain.errors import ConfigurationError
from triage.yaml_models import StrictModel, parse


class Inner(StrictModel):
    port: int


class Outer(StrictModel):
    name: str
    inner: Inner = Inner(port=1)
    many: tuple[Inner, ...] = ()


class Overlaid(StrictModel):
    count: int = 0
    shape: Literal["round", "fine"] = "round"
    quoted: str = ""

    @field_validator("quoted")
    @classmethod
    def _refuse(cls, value: str) -> str:
        if value not in {"", "fine"}:
            raise ValueError(f"{value} is wrong")
        return value


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


@pytest.mark.parametrize(
    "value",
    [
        "@Tr0ub4dor&3",  # no YAML
        "{Tr0ub4dor",
        "!Tr0ub4dor x",
        "2026-99-99",  # a date that is none
        "[Tr0ub4dor]",  # YAML of another type
        "9" * 5000,
        "[" * 100,
    ],
)
@pytest.mark.parametrize("field", ["count", "shape"])
def test_an_error_never_shows_a_value_of_the_environment(value: str, field: str) -> None:
    with pytest.raises(ConfigurationError, match=f"environment: {field}: ") as refused:
        parse("{}", Overlaid, "a.yaml", {(field,): value})
    assert "Tr0ub4dor" not in str(refused.value)
    assert value not in str(refused.value)


def test_a_validator_that_quotes_its_value_does_not_show_that_of_the_environment() -> None:
    with pytest.raises(ConfigurationError, match="quoted: .not shown. is wrong") as refused:
        parse("{}", Overlaid, "a.yaml", {("quoted",): "Tr0ub4dor"})
    assert "Tr0ub4dor" not in str(refused.value)
    with pytest.raises(ConfigurationError, match="line 1: quoted: written is wrong"):
        parse("quoted: written", Overlaid, "a.yaml")


BILLION = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in pairwise("abcdefghi")
)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(BILLION, id="aliases"),
        pytest.param("a: &a [*a]", id="endless"),
        pytest.param("[" * 2000, id="lists"),
        pytest.param("{a: " * 500, id="mappings"),
        pytest.param("- " * 900, id="items"),
        pytest.param(f"[{'x,' * 30_000}]", id="values"),
        pytest.param("x" * 2_000_000, id="characters"),
        pytest.param("a: 2026-99-99", id="date"),
        pytest.param(f"a: {'9' * 5000}", id="number"),
        pytest.param("? [a]\n: b", id="key"),
        pytest.param("<<: [*a]", id="merge"),
    ],
)
def test_a_document_beyond_the_bounds_is_an_error_soon(text: str) -> None:
    began = time.process_time()
    with pytest.raises(ConfigurationError, match=r"^a.yaml"):
        parse(text, Overlaid, "a.yaml")
    assert time.process_time() - began < 4


def test_a_document_of_usual_size_with_aliases_is_read() -> None:
    text = f"quoted: &name fine\nshape: *name\ncount: {'9' * 20}"
    expected = Overlaid(quoted="fine", shape="fine", count=int("9" * 20))
    assert parse(text, Overlaid, "a.yaml") == expected
