"""The main job on a real study: DCMTK sends it, `triage serve` works, Orthanc gets the report."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import highdicom as hd
import pytest
from pydicom import Dataset, dcmread

from tests.acceptance.site import LiveSite, configure, send_in_three_associations, serving
from tests.integration.object_store import object_store
from tests.integration.servers import Orthanc
from tests.peers import peer, real_data
from triage.config import load
from triage.domain.study import State


@pytest.fixture(scope="module")
def files() -> list[Path]:
    return sorted(real_data("siemens_vida_cine/patient1").rglob("*.dcm"))


@pytest.fixture(scope="module", params=["files", "objects"])
def site(
    request: pytest.FixtureRequest,
    pacs: Orthanc,
    files: list[Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LiveSite]:
    """Yield a site that has received the real study and delivered its report.

    Its spool is in the state folder, or in an object store.
    """
    with ExitStack() as others:
        settings = {}
        if request.param == "objects":
            store = others.enter_context(object_store(tmp_path_factory.mktemp("store")))
            settings["spool"] = store.content()
        running = configure(tmp_path_factory.mktemp("site"), pacs, **settings)
        pacs.empty()
        others.enter_context(serving(running))
        send_in_three_associations(running, files)
        running.wait_for_end()
        time.sleep(3)  # a second report would arrive now
        in_state_folder = len(list(running.state.rglob("*.dcm")))
        assert in_state_folder == (0 if request.param == "objects" else len(files))
        yield running


@pytest.fixture(scope="module")
def report(site: LiveSite, pacs: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the one report as a file."""
    (content,) = pacs.reports()
    path = tmp_path_factory.mktemp("report") / "sr.dcm"
    path.write_bytes(content)
    assert site.port
    return path


@pytest.fixture(scope="module")
def first(files: list[Path]) -> Dataset:
    return dcmread(files[0], stop_before_pixels=True)


def test_the_study_is_delivered_in_one_revision(site: LiveSite) -> None:
    (study,) = site.studies()
    assert (study.state, study.revision, study.instances) == (State.DELIVERED, 1, 275)
    assert study.attempts == 1


def test_orthanc_receives_exactly_one_report(site: LiveSite, pacs: Orthanc) -> None:
    assert site.studies()
    assert len(pacs.reports()) == 1
    assert len(pacs.get("/instances")) == 2  # and the same on one page


def test_patient_study_and_accession_match(report: Path, first: Dataset) -> None:
    sr = dcmread(report)
    for keyword in (
        "StudyInstanceUID",
        "PatientID",
        "PatientName",
        "PatientBirthDate",
        "PatientSex",
        "AccessionNumber",
        "StudyID",
        "StudyDate",
    ):
        assert sr[keyword].value == first[keyword].value, keyword


def test_the_evidence_is_what_the_model_looked_at(report: Path, files: list[Path]) -> None:
    """The fourth of six short-axis slices (Se2) and the true four-chamber view (Se6)."""
    (evidence,) = dcmread(report).CurrentRequestedProcedureEvidenceSequence
    referenced = {
        str(image.ReferencedSOPInstanceUID)
        for series in evidence.ReferencedSeriesSequence
        for image in series.ReferencedSOPSequence
    }
    expected = {
        str(dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
        for path in files
        if path.parent.name in {"Se2", "Se6"}
    }
    assert referenced == expected
    assert len(referenced) == 50


def test_dciodvfy_finds_no_error(report: Path) -> None:
    judged = subprocess.run(
        [peer("dciodvfy"), str(report)], capture_output=True, text=True, check=False
    )
    said = judged.stdout + judged.stderr
    assert "Comprehensive3DSR" in said
    assert [line for line in said.splitlines() if line.startswith("Error")] == []


def test_dsrdump_accepts_it(report: Path) -> None:
    judged = subprocess.run(
        [peer("dsrdump"), str(report)], capture_output=True, text=True, check=False
    )
    assert judged.returncode == 0, judged.stderr
    assert judged.stdout.count("Measurement Group") == 7
    assert "RESEARCH USE ONLY" in judged.stdout


def test_highdicom_reads_it(report: Path) -> None:
    sr = hd.sr.srread(report)
    assert isinstance(sr, hd.sr.Comprehensive3DSR)
    assert sr.VerificationFlag == "UNVERIFIED"
    assert sr.PreliminaryFlag == "PRELIMINARY"


def test_an_untrained_model_flags_nothing(report: Path) -> None:
    shown = subprocess.run(
        [peer("dsrdump"), str(report)], capture_output=True, text=True, check=True
    ).stdout
    assert shown.count("model is untrained") == 7
    assert "Present" not in shown
    assert '"Absent"' not in shown


def test_the_delivered_data_set_is_the_stored_one(report: Path, site: LiveSite) -> None:
    """Orthanc writes file meta information of its own; the data set is ours to the byte."""
    ledger = site.ledger()
    delivery, page = ledger.list_deliveries(site.studies()[0].study_uid, 1)
    ledger.close()
    assert [delivery.product.kind, page.product.kind] == ["structured_report", "pdf"]
    assert delivery.last_answer == "0x0000 Success"
    assert _data_set(report.read_bytes()) == _data_set(delivery.product.content)


def _data_set(part10: bytes) -> bytes:
    meta = dcmread(BytesIO(part10)).file_meta
    return part10[128 + 4 + 12 + meta.FileMetaInformationGroupLength :]


def test_no_patient_identifier_stands_in_the_log(site: LiveSite, first: Dataset) -> None:
    log = site.log()
    assert "delivered" in log
    for secret in (str(first.PatientName), str(first.PatientID)):
        assert secret not in log


def test_a_site_without_the_audit_setting_has_no_trail(site: LiveSite) -> None:
    assert load(site.config, {}).audit is None
    assert site.studies()
    assert not (site.state / "audit").exists()
