"""Pseudonymous keys of patients and cases."""

import multiprocessing
from pathlib import Path

from triage.cases.keys import load_or_create_secret


def test_processes_that_start_together_share_one_secret(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert len({*pool.map(load_or_create_secret, [tmp_path] * 16)}) == 1
