"""`triage score` on a terminal and as JSON, with scores from no process."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.builders.images import image, part10, uid
from tests.unit.pipeline.score_rows import scored, unscored
from triage.__main__ import main
from triage.cli import score as command
from triage.pipeline.score_studies import FolderStudy, ScoreRow
from triage.runtime.scoring import Scoring

SCORES = {"one": 0.9, "two": 0.1, "three": 0.7}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "studies"
    folder.mkdir()
    for name in (*SCORES, "none"):
        (folder / name).write_bytes(part10(image(name)))
    (folder / "notes.txt").write_text("no image")
    (folder / "torn").write_bytes(part10(image("one", number=2))[:-10])
    return folder


@pytest.fixture
def interrupted_after(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replace the processes; the list may hold the number of studies before an interrupt."""
    limits: list[int] = []
    rows = {uid(name): (scored(uid(name), score),) for name, score in SCORES.items()}
    rows[uid("none")] = (unscored(uid("none")),)

    def score(
        _scoring: Scoring, studies: Sequence[FolderStudy], _workers: int
    ) -> Iterator[tuple[ScoreRow, ...]]:
        for number, study in enumerate(studies):
            if number in limits:
                raise KeyboardInterrupt
            found = rows[study.study_uid]
            yield tuple(each.__class__(**{**vars(each), "files": study.files}) for each in found)

    monkeypatch.setattr(command, "score_in_processes", score)
    return limits


@pytest.fixture
def findings(tmp_path: Path) -> Path:
    path = tmp_path / "findings.yaml"
    path.write_text(
        "findings:\n  - {id: lge, name: Scar, prompts: [There is a scar], views: [lge_sa]}\n"
    )
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["score", *map(str, arguments)])


@pytest.mark.usefixtures("interrupted_after")
def test_tables_show_every_study_with_flag_score_and_reason(folder: Path, findings: Path) -> None:
    shown = run(folder, "--findings", findings)
    assert shown.exit_code == 0, shown.output
    for name in (*SCORES, "none"):
        assert uid(name) in shown.stdout
    assert "no score: no MR images, only CT" in shown.stdout
    assert "4 studies, 1 of them without scores" in shown.stdout
    assert "1 studies without scores: no MR images, only CT" in shown.stdout
    assert "lge_sa in 3" in shown.stdout
    assert shown.stderr.splitlines()[0].startswith("research use only")
    assert "1 files are no DICOM" in shown.stderr
    assert f"{folder}/torn: " in shown.stderr


@pytest.mark.usefixtures("interrupted_after")
def test_json_has_rows_files_and_measurements(folder: Path, findings: Path, tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    lines = [f"{uid(name)},{int(score > 0.5)}" for name, score in SCORES.items()]
    truth.write_text("\n".join(["study_uid,lge", *lines]))
    shown = run(folder, "--findings", findings, "--json", "--truth", truth)
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert {row["study_uid"] for row in found["rows"]} == {*map(uid, (*SCORES, "none"))}
    assert found["made_with"] == found["rows"][0]["made_with"]
    assert found["files"]["no_dicom"] == 1
    (damaged,) = found["files"]["damaged"]
    assert (damaged["file"], damaged["study_uid"]) == (str(folder / "torn"), uid("one"))
    (measured,) = found["measured"]
    assert (measured["auc"]["value"], measured["positives"], measured["negatives"]) == (1, 2, 1)
    assert measured["roc"][0] == {"score": 0.9, "false_alarms": 0, "sensitivity": 0.5}
    assert "3 of 4 studies have a label by study_uid" in shown.stderr


@pytest.mark.usefixtures("interrupted_after")
def test_measurements_are_printed_with_their_intervals(
    folder: Path, findings: Path, tmp_path: Path
) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text(f"accession,lge,sex\nA-{uid('one')},1,F\nA-{uid('two')},0,M\n")
    shown = run(folder, "--findings", findings, "--csv", tmp_path / "out.csv", "--truth", truth)
    assert shown.exit_code == 0, shown.output
    assert "lge, all scores: 1 studies with it, 1 without; 0 have no such score" in shown.stdout
    assert "sensitivity: flagged among those with it: 1.00 (0.21 to 1.00)" in shown.stdout
    assert "prove little" in shown.stdout
    assert "columns that are no finding: sex" in shown.stderr
    assert uid("one") not in shown.stdout  # the rows are in the file


def test_an_interrupt_keeps_what_is_written_and_the_next_run_continues(
    folder: Path, findings: Path, tmp_path: Path, interrupted_after: list[int]
) -> None:
    out = tmp_path / "out.csv"
    interrupted_after.append(2)
    first = run(folder, "--findings", findings, "--csv", out)
    assert first.exit_code == 2
    assert "interrupted, 2 of 4 studies are not scored: run the command again" in first.stderr
    assert len(out.read_text().splitlines()) == 1 + 2
    interrupted_after.clear()
    second = run(folder, "--findings", findings, "--csv", out)
    assert second.exit_code == 0, second.output
    assert "2 studies have been scored before" in second.stderr
    assert len(out.read_text().splitlines()) == 1 + 4
    assert "4 studies, 1 of them without scores" in second.stdout


@pytest.mark.usefixtures("interrupted_after")
def test_a_file_of_other_findings_is_refused(folder: Path, findings: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    assert run(folder, "--findings", findings, "--csv", out).exit_code == 0
    findings.write_text(findings.read_text().replace("There is", "There was"))
    refused = run(folder, "--findings", findings, "--csv", out)
    assert refused.exit_code == 2
    assert f"{out} was made with" in refused.stderr


def test_a_folder_without_dicom_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    refused = run(tmp_path)
    assert refused.exit_code == 2
    assert "holds no DICOM file" in refused.stderr
