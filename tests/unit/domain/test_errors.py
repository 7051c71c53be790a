import re

from triage.domain import errors
from triage.domain.errors import TriageError


def drawn_parents() -> dict[str, str]:
    """Return the parent of each error in the tree of the module's docstring."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"    ((?:[│ ]   )*)[├└]── (\w+)", line):
            depth = len(found[1]) // 4
            path = [*path[: depth + 1], found[2]]
            parents[found[2]] = path[depth]
        elif line.strip() == "TriageError":
            path = ["TriageError"]
    return parents


def actual_parents() -> dict[str, str]:
    known = (value for value in vars(errors).values() if isinstance(value, type))
    return {
        error.__name__: error.__base__.__name__
        for error in known
        if issubclass(error, TriageError) and error is not TriageError and error.__base__
    }


def test_the_drawn_tree_of_errors_is_the_real_one() -> None:
    assert drawn_parents() == actual_parents()
