"""`triage score` gives the scores of the worker, in processes that may end."""

import csv
import json
import os
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread

import psutil
import pytest

from tests.builders.small_studies import small_study
from tests.integration.command_line import run_triage
from tests.waiting import wait_until
from triage.domain.reasons import ReasonCode
from triage.imaging.rules import load_rules
from triage.phantom.archive import write_study
from triage.phantom.heart import draw_heart
from triage.pipeline.answers import answer_findings
from triage.pipeline.folder_studies import find_studies_in_folder
from triage.pipeline.model_input import build_model_input
from triage.pipeline.score_studies import FolderStudy, ScoreRow
from triage.runtime.model import DEMO_BUNDLE, open_model
from triage.runtime.scoring import choose_model, open_scoring, read_file, score_in_processes
from triage.runtime.settings import load_settings


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the DICOM study of a drawn heart, and one of a few images."""
    folder = tmp_path_factory.mktemp("archive")
    write_study(folder / "drawn", draw_heart(71_000))
    (folder / "small").mkdir()
    for number, part10 in enumerate(small_study(1).instances):
        (folder / "small" / f"{number}.dcm").write_bytes(part10)
    return folder


def test_the_scores_are_those_of_the_worker_and_a_second_run_adds_nothing(
    archive: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    done = run_triage("score", archive, "--csv", out, "--json", "--workers", 2)
    assert done.returncode == 0, done.stderr
    rows = {(row["study_uid"], row["finding"]): row for row in json.loads(done.stdout)["rows"]}
    model = open_model(choose_model(load_settings(None, {}), DEMO_BUNDLE, None), cache=None)
    for uid, paths in find_studies_in_folder(archive).studies.items():
        seen = build_model_input(uid, paths, read_file, model, load_rules())
        judged = answer_findings(seen, model)
        assert judged.familiarity is not None
        for answer in judged.answers:
            row = rows.pop((uid, answer.finding.id))
            flag = {"Yes": "yes", "No": "no"}.get(answer.flag)
            assert (row["flag"], row["why"]) == (flag, answer.reason)
            # Other numbers of threads sum in another order.
            assert row["score"] == pytest.approx(answer.score, abs=1e-6)
            assert row["threshold"] == answer.threshold
            assert row["distance"] == pytest.approx(judged.familiarity.distance)
            assert row["views"] == [view.view for view in seen.used_views]
    assert not rows
    with out.open(newline="") as file:
        written = sorted(row["score"] for row in csv.DictReader(file))
    assert written == sorted(
        "" if row["score"] is None else repr(row["score"])
        for row in json.loads(done.stdout)["rows"]
    )
    before = out.read_bytes()
    again = run_triage("score", archive, "--csv", out)
    assert again.returncode == 0, again.stderr
    assert "2 studies have been scored before" in again.stderr
    assert sorted(out.read_bytes().splitlines()) == sorted(before.splitlines())


def test_a_study_that_ends_its_process_has_a_reason_and_the_next_one_is_scored(
    archive: Path, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # reading it waits without end
    small = sorted(map(str, (archive / "small").iterdir()))
    studies = [FolderStudy("1.2", (str(pipe),)), FolderStudy("1.3", tuple(small))]
    scoring = open_scoring(choose_model(load_settings(None, {}), None, None))
    found: list[tuple[ScoreRow, ...]] = []

    def score() -> None:
        with closing(score_in_processes(scoring, studies, 1)) as scored:
            found.extend(scored)

    thread = Thread(target=score)
    thread.start()
    wait_until(lambda: _has_reader(pipe), what="a process that reads the pipe")
    pipe.unlink()  # this process must not wait for it too
    for process in psutil.Process().children():
        if "spawn_main" in " ".join(process.cmdline()):
            process.kill()
    thread.join()
    (lost,), scored = found
    assert (lost.study_uid, lost.code) == ("1.2", ReasonCode.SCORING_FAILED)
    assert lost.why == "`triage score` failed with a process that ended with status -9"
    assert {row.study_uid for row in scored} == {"1.3"}
    assert all(row.finding for row in scored)


def _has_reader(pipe: Path) -> bool:
    """Return whether a process opens a pipe to read it; if so, it waits for data from now on."""
    with suppress(OSError):  # there is none
        os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        return True
    return False
