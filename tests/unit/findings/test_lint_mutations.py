"""Mutations of good findings files: accepted, or refused with line and mend, in bounded time."""

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders.findings_files import GOOD
from tests.builders.malformed_documents import PIECES
from triage.domain.errors import ConfigurationError
from triage.findings.lint.checks import LintResult, decode, lint, lint_file
from triage.findings.lint.model import LintModel
from triage.findings.lint.problem import apply_mend, split_lines
from triage.findings.loader import load_findings

SEEDS, OF_EACH = 10, 100  #: 1,000 mutations
SECONDS_MOST = 20.0  #: of processor time for one file; the worst of a megabyte takes about 5
SHIPPED = ("default.yaml", "drawn_hearts.yaml")
CURLY = str.maketrans({'"': "\u201d", "'": "\u2019"})
Mutation = Callable[[random.Random, str], str | bytes]


def _drop_characters(rng: random.Random, text: str) -> str:
    for _ in range(rng.randint(1, 5)):
        at = rng.randrange(len(text))
        text = text[:at] + text[at + rng.randint(1, 3) :]
    return text


def _insert_characters(rng: random.Random, text: str) -> str:
    for _ in range(rng.randint(1, 5)):
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice(":-[]{}\"'#&*!|>%@,\t \n\x00\u201cäx0") + text[at:]
    return text


def _swap_lines(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return "".join(lines)


def _change_line(rng: random.Random, text: str, change: Callable[[str], str]) -> str:
    lines = text.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    lines[at] = change(lines[at])
    return "".join(lines)


def _indent(rng: random.Random, text: str) -> str:
    by = rng.choice([-3, -2, -1, 1, 2, 3, 5])
    return _change_line(
        rng, text, lambda line: " " * by + line if by > 0 else line[min(-by, len(line) - 1) :]
    )


def _put_tabs(rng: random.Random, text: str) -> str:
    return _change_line(rng, text, lambda line: line.replace("  ", "\t", rng.randint(1, 3)))


def _put_curly_quotes(rng: random.Random, text: str) -> str:
    return _change_line(
        rng,
        text,
        lambda line: line.translate(CURLY).replace("- ", "- \u201c").replace(": ", ": \u201c"),
    )


def _repeat_line(rng: random.Random, text: str) -> str:
    return _change_line(rng, text, lambda line: line * 2)


def _change_value(rng: random.Random, text: str) -> str:
    values = [
        "5",
        "null",
        "[a, b]",
        "{a: b}",
        "2026-01-01",
        "2026-99-99",
        "yes",
        "1e5",
        "''",
        "- a",
    ]
    value = rng.choice(values)
    return _change_line(rng, text, lambda line: f"{line.partition(':')[0].rstrip()}: {value}\n")


def _change_key(rng: random.Random, text: str) -> str:
    key = rng.choice(
        ["threshold", "prompt", "view", "colour", "1", "null", "<<", "? x", "id", "[a]"]
    )
    return _change_line(
        rng, text, lambda line: f"{line[: len(line) - len(line.lstrip())]}{key}: {line.lstrip()}"
    )


def _put_bytes(rng: random.Random, text: str) -> bytes:
    data = bytearray(text.encode())
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def _save_elsewhere(rng: random.Random, text: str) -> bytes:
    text = text.replace("Left", "Linké", rng.randint(0, 2))
    return text.replace("\n", rng.choice(["\n", "\r\n", "\r"])).encode(
        rng.choice(["utf-8-sig", "utf-16", "cp1252", "utf-32"])
    )


def _put_pieces(rng: random.Random, text: str) -> str:
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice(PIECES) + text[at:]
    return text


def _cut(rng: random.Random, text: str) -> str:
    first = rng.randrange(len(text))
    return text[first:] if rng.random() < 0.3 else text[:first]


MUTATIONS: tuple[Mutation, ...] = (
    _drop_characters, _insert_characters, _swap_lines, _indent, _put_tabs, _put_curly_quotes,
    _repeat_line, _change_value, _change_key, _put_bytes, _save_elsewhere, _put_pieces, _cut,
)  # fmt: skip


def mutate(rng: random.Random) -> bytes:
    name = rng.choice(("", *SHIPPED))
    text = Path("triage/findings", name).read_text(encoding="utf-8") if name else GOOD
    if name:  # without the comments at its head, so that most mutations hit a finding
        text = text[text.index("findings:\n") :]
    mutated: str | bytes = text
    for _ in range(rng.randint(1, 2)):
        if isinstance(mutated, str) and mutated:
            mutated = rng.choice(MUTATIONS)(rng, mutated)
    return mutated if isinstance(mutated, bytes) else mutated.encode("utf-8", "surrogatepass")


def check(data: bytes, path: Path) -> LintResult:
    """Lint and load a file, and hold both against each other."""
    path.write_bytes(data)
    began = time.process_time()
    result = lint_file(path, LintModel())
    assert time.process_time() - began < SECONDS_MOST
    if result.is_usable:
        assert load_findings(path).findings
    else:
        with pytest.raises(ConfigurationError) as refused:
            load_findings(path)
        assert str(refused.value).startswith(f"{path}, line ")
        assert {"expected", "line"} <= set(str(refused.value).replace(",", " ").split())
    text, _ = decode(data)
    lines = [line.rstrip("\r\n\x85\u2028\u2029") for line in split_lines(text)]
    for problem in result.problems:
        assert 1 <= problem.line <= max(1, len(lines)), problem
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 2, problem
        assert problem.sentence
        assert problem.expected
        assert apply_mend(text, problem.mend) != text, problem
    return result


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_mutation_is_accepted_or_refused_with_line_and_mend(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    codes: Counter[str] = Counter()
    helped = tried = refused = 0
    for number in range(OF_EACH):
        data = mutate(rng)
        result = check(data, tmp_path / "f.yaml")
        codes.update(problem.code for problem in result.problems)
        refused += not result.is_usable
        if result.is_usable or number % 4:
            continue
        tried += 1
        text, _ = decode(data)
        first = result.problems[0]
        after = lint(apply_mend(text, first.mend), LintModel())
        left = {(each.code, each.line, each.sentence) for each in after.problems}
        helped += (first.code, first.line, first.sentence) not in left
    print(f"{refused} of {OF_EACH} refused; mends that help: {helped} of {tried} tried; {codes}")
    assert refused > OF_EACH // 4
    assert helped > 0.9 * tried


LARGE = {
    "aliases": "findings:\n  - &a [x, x, x, x, x, x, x, x, x, x]\n"
    + "".join(
        f"  - &{name} [{', '.join([f'*{before}'] * 10)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    ),
    "endless alias": "findings: &a [*a]\n",
    "aliases of prompts": GOOD.replace("[cine_lax, cine_sa]", "&v [cine_lax]").replace(
        "[lge_sa, lge_lax]", "*v"
    ),
    "deep": "findings: " + "[" * 500_000,
    "many mappings": "findings: " + "{a: " * 100_000,
    "many findings": "findings:\n" + GOOD.partition("findings:\n")[2] * 600,
    "many mistakes": "findings:\n" + "  - {id: A, name: 5, prompts: x, views: y}\n" * 2000,
    "long line": GOOD.replace("There is myocardial scarring", "scar " * 200_000),
    "long line that is no YAML": GOOD.replace(
        "Left ventricle is dilated", '"' + "scar: " * 170_000
    ),
    "comments": GOOD + "# x\n" * 200_000,
    "blank lines and no YAML": GOOD + "\n" * 900_000 + "\t- x: [",
    "beyond the limit": GOOD + "# x\n" * 2_000_000,
    "many bytes": "\u00e4" * 3_000_000,
    "brackets and quotes": GOOD + "\"'[{" * 200_000,
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_file_is_judged_in_time(name: str, tmp_path: Path) -> None:
    result = check(LARGE[name].encode(), tmp_path / "f.yaml")
    print(name, [problem.code for problem in result.problems][:5], result.more)
    assert result.is_usable == (name in {"aliases of prompts", "comments"})


def test_a_refused_file_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(GOOD.replace("id: lge", "id:lge"))
    before = path.read_bytes()
    with pytest.raises(ConfigurationError):
        load_findings(path)
    assert not lint_file(path, LintModel()).is_usable
    assert [item.name for item in tmp_path.iterdir()] == ["f.yaml"]
    assert path.read_bytes() == before
