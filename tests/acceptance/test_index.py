"""Past studies become cases from the command line, with what radiologists wrote of them."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from pydicom import Dataset, dcmread
from pydicom.sr.coding import Code

from tests.builders.readings import basic_text_sr
from tests.integration.command_line import run_triage
from triage.model.bundle import open_bundle
from triage.phantom.archive import write_study
from triage.phantom.heart import draw_heart
from triage.runtime.model import DEMO_BUNDLE, DEMO_FINDINGS

SEEDS = range(71_000, 71_004)
REPORT = """CLINICAL HISTORY: known to Dr. Hartmann
IMPRESSION: Mr. Wojciech Kowalczyk (PAT-7788990, born 03.02.1961) has a dilated
left ventricle, LVEF 35 %.
Electronically signed by Ruth Hartmann"""
PLANTED = ("Kowalczyk", "Wojciech", "PAT-778899", "ACC-4455", "19610203", "03.02.1961", "Hartmann")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with studies of one named patient, and one file that is no DICOM."""
    folder = tmp_path_factory.mktemp("archive")
    for number, seed in enumerate(SEEDS):
        for file in write_study(folder / str(seed), draw_heart(seed)):
            image = dcmread(file)
            image.PatientName, image.PatientID = "Kowalczyk^Wojciech", f"PAT-778899{number}"
            image.PatientBirthDate, image.AccessionNumber = "19610203", f"ACC-4455{number}"
            image.save_as(file)
            last = image
    impression = Code("121072", "DCM", "Impressions")
    text = "Wojciech Kowalczyk has late enhancement of the septum."
    header = Dataset()
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "AccessionNumber"):
        setattr(header, keyword, last[keyword].value)
    report = basic_text_sr([(impression, text)], header)
    report.save_as(folder / str(SEEDS[-1]) / "report.dcm", enforce_file_format=True)
    (folder / "README").write_text("nothing to see")
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "triage.yaml"
    settings = {
        "state_dir": str(tmp_path / "state"),
        "model": {"bundle": str(DEMO_BUNDLE)},
        "findings": str(DEMO_FINDINGS),
    }
    path.write_text(yaml.safe_dump(settings))
    return path


def run(config: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return run_triage(*arguments, config=config)


def found(config: Path, *arguments: object) -> list[dict[str, object]]:
    done = run(config, "search", "Left ventricle is dilated", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    cases: list[dict[str, object]] = json.loads(done.stdout)
    return cases


def write_reports(path: Path) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("accession", "report", "confirmed"))
        table.writerow(
            (
                "ACC-44550",
                REPORT,
                "lv_dilation",
            )
        )
        table.writerow(("ACC-44551", "Kowalczyk was here; no heading says where.", ""))


def test_a_folder_becomes_cases_with_reports_and_without_names(
    archive: Path, config: Path, tmp_path: Path
) -> None:
    reports = tmp_path / "reports.csv"
    write_reports(reports)
    done = run(config, "index", archive, "--reports", reports)
    assert done.returncode == 0, done.stderr
    assert "4 indexed" in done.stdout
    assert "9 files are no DICOM" in done.stderr  # with what lies beside a drawn heart
    assert "2 studies matched a report; 2 reports were read from files" in done.stdout
    assert "1 reports have no impression under a heading" in done.stderr
    told, read = sorted(
        (case for case in found(config) if case["impression"]),
        key=lambda case: not case["confirmed"],
    )
    assert read["impression"] == "[name] has late enhancement of the septum."
    assert "left ventricle, LVEF 35 %" in str(told["impression"])
    assert told["confirmed"] == ["lv_dilation"]
    assert [each["study_uid"] for each in found(config, "--confirmed")] == [told["study_uid"]]
    written = (
        b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
        + (done.stdout + done.stderr).encode()
    )
    assert b"left ventricle, LVEF 35 %" in written
    for planted in PLANTED:
        assert planted.encode() not in written, planted


def test_a_report_that_comes_later_joins_its_case(
    archive: Path, config: Path, tmp_path: Path
) -> None:
    only = tmp_path / "worklist.txt"
    uids = [str(dcmread(next((archive / str(s)).rglob("*.dcm"))).StudyInstanceUID) for s in SEEDS]
    only.write_text("study\n" + "\n".join(uids[:2]))
    assert "2 indexed" in run(config, "index", archive, "--worklist", only).stdout
    assert not any(case["impression"] for case in found(config))
    reports = tmp_path / "reports.csv"
    write_reports(reports)
    done = run(config, "index", archive, "--reports", reports, "--worklist", only)
    assert "1 known, report added" in done.stdout
    assert "1 known already" in done.stdout
    assert sum(bool(case["impression"]) for case in found(config)) == 1


def test_a_killed_index_run_continues(archive: Path, config: Path) -> None:
    command = [sys.executable, "-m", "triage", "--config", str(config), "index", str(archive)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    state = config.parent / "state" / "cases"
    deadline = time.monotonic() + 120
    two = 2 * 2 * open_bundle(DEMO_BUNDLE).manifest.sizes.embedding  # vectors of halves
    while not any(path.stat().st_size >= two for path in state.glob("*.f16")):
        assert time.monotonic() < deadline
        assert running.poll() is None
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    before = len(found(config))
    assert 0 < before < len(SEEDS)
    done = run(config, "index", archive)
    assert f"{before} known already" in done.stdout
    assert f"{len(SEEDS) - before} indexed" in done.stdout
    assert len(found(config)) == len(SEEDS)


def test_a_folder_or_the_spool_must_be_named(config: Path, tmp_path: Path) -> None:
    assert "give FOLDER, or --spool" in run(config, "index").stderr
    (tmp_path / "empty").mkdir()
    assert "holds no DICOM study" in run(config, "index", tmp_path / "empty").stderr
    assert "start the worker first" in run(config, "index", "--spool").stderr
