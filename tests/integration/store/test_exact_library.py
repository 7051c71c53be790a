"""The exact library: files, processes, erasure."""

from pathlib import Path

from tests.contract.exact_libraries import look_while_two_add


def test_two_processes_add_and_search_concurrently_without_losing_a_case(tmp_path: Path) -> None:
    """A run of five minutes is in tests/benchmarks/test_library.py."""
    looks, size = look_while_two_add(tmp_path, 5)
    assert looks > 10
    assert size > 10
