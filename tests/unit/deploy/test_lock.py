"""The locks of the image (deploy/) and of CI (tests/): every package with its hashes."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.unit.deploy.files import DEPLOY, PROJECT

EXTRAS = ("postgres", "s3", "signatures")  #: those of the image
LOCK, TESTS = DEPLOY / "requirements.lock", PROJECT / "tests" / "requirements.lock"
ENTRY = re.compile(
    r"^([a-z0-9][a-z0-9._-]*)==(\S+)((?: ; [^\\]*)?)((?: \\\n +--hash=sha256:\w+)*)$"
)


def wanted() -> list[Requirement]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"]]
    for extra in EXTRAS:
        lines += project["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


def entries(lock: Path = LOCK) -> list[tuple[str, str, list[str]]]:
    """Return name, version and hashes of each entry; fails for any other line."""
    text = lock.read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=\S)", text.partition("make lock\n")[2].strip())
    found = [ENTRY.fullmatch(block) for block in blocks]
    assert [block for block, entry in zip(blocks, found, strict=True) if entry is None] == []
    return [
        (entry[1], entry[2], re.findall(r"sha256:([0-9a-f]{64})\b", entry[4]))
        for entry in found
        if entry is not None
    ]


@pytest.mark.parametrize("lock", [LOCK, TESTS], ids=lambda lock: str(lock.parent.name))
def test_every_entry_is_a_version_with_hashes(lock: Path) -> None:
    assert [(name, version) for name, version, hashes in entries(lock) if not hashes] == []


def test_the_tests_run_with_the_versions_of_the_image() -> None:
    image = {(name, version) for name, version, _ in entries()}
    names = {name for name, _ in image}
    other = {(name, version) for name, version, _ in entries(TESTS) if name in names} - image
    assert other == set()
    assert "torch" not in {name for name, _, _ in entries(TESTS)}


@pytest.mark.parametrize("requirement", wanted(), ids=lambda requirement: requirement.name)
def test_the_lock_has_every_dependency_in_a_permitted_version(requirement: Requirement) -> None:
    name = re.sub(r"[._]", "-", requirement.name)
    versions = [version for locked, version, _ in entries() if locked == name]
    assert versions, f"make lock: {name} is missing"
    assert all(requirement.specifier.contains(version) for version in versions), "make lock"


def test_the_lock_has_no_torch_and_a_bounded_pillow() -> None:
    assert {"torch", "transformers"} & {name for name, _, _ in entries()} == set()
    (pillow,) = [requirement for requirement in wanted() if requirement.name == "pillow"]
    assert "<" in str(pillow.specifier)
