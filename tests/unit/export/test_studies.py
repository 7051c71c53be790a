"""From studies with reports to pairs, and that they are what the worker would have seen."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pydicom import Dataset

from export.__main__ import cli
from export.pairs import open_pairs, write_pairs
from export.studies import Reports, read_reports, study_frames, write_studies
from tests.contract.ledgers import SOURCE, current, full_ledger
from tests.fakes import FakeEncoder
from triage.dicom.header import read_identity
from triage.domain.errors import ConfigurationError, DamagedInstance
from triage.domain.study import Event
from triage.model.bundle import ClipForm
from triage.phantom.archive import write_archive, write_study
from triage.phantom.heart import derive_truth, draw_heart
from triage.pipeline.assess import Assessor
from triage.pipeline.intake import Intake

SHAPE = ClipForm(frames=16, height=32, width=32)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    write_archive(folder, range(4))
    (folder / "empty").mkdir()
    (folder / "empty" / "impression.txt").write_text("Normal")
    (folder / "unread" / "images").mkdir(parents=True)
    return folder


def test_studies_become_pairs_with_labels_and_what_is_left_out_is_named(
    archive: Path, tmp_path: Path
) -> None:
    told: dict[str, str] = {}
    assert write_studies(archive, tmp_path, SHAPE, None, told.__setitem__) == 4
    assert told == {f"{seed:08d}": "" for seed in range(4)} | {
        "empty": "no view that the model looks at"
    }
    pairs = open_pairs(tmp_path)
    assert pairs.frames.shape == (4, 16, 32, 32)
    assert set(pairs.counts) == {16}
    for place in range(4):
        known = derive_truth(draw_heart(place))
        for label, holds in {**known.findings, **known.diagnoses}.items():
            assert pairs.labels(label)[place] == holds
    assert all(pairs.impressions)
    assert len({*pairs.patients()}) == 4
    assert not {*pairs.patients()} & {row["id"] for row in pairs.rows}
    assert "PHANTOM" not in (tmp_path / "pairs.csv").read_text()


def test_impressions_may_stand_in_a_table(archive: Path, tmp_path: Path) -> None:
    table = tmp_path / "reports.csv"
    table.write_text('study,impression\n00000001,"Normal, no LGE"\n')
    assert write_studies(archive, tmp_path / "pairs", SHAPE, read_reports(table)) == 1
    assert open_pairs(tmp_path / "pairs").impressions == ("Normal, no LGE",)


def test_studies_of_a_patient_share_a_pseudonym_that_a_secret_keeps() -> None:
    one, other = Dataset(), Dataset()
    one.PatientID, other.PatientID = "MRN 7", "MRN 8"
    known, apart = Reports(secret=bytes(range(32))), Reports()
    first = known.pseudonym(Path("a"), one)
    assert first == known.pseudonym(Path("b"), one)
    assert len({first, known.pseudonym(Path("c"), other), apart.pseudonym(Path("a"), one)}) == 3
    assert Reports(secret=known.secret).pseudonym(Path("a"), one) == first


def test_a_table_may_state_a_key_of_each_patient(tmp_path: Path) -> None:
    table = tmp_path / "reports.csv"
    table.write_text("study,impression,patient\na,Normal,7\nb,Normal,8\nc,Normal,7\nd,Normal,\n")
    known, header = read_reports(table), Dataset()
    header.PatientID = "REMOVED"
    a, b, c, d = (known.pseudonym(Path(name), header) for name in "abcd")
    assert a == c
    assert len({a, b, d}) == 3
    assert not {a, b, d} & {"7", "8", "REMOVED"}


def test_a_table_without_its_columns_is_named(tmp_path: Path) -> None:
    (tmp_path / "reports.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigurationError, match="needs the columns study and impression"):
        read_reports(tmp_path / "reports.csv")


def test_nothing_to_pair_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no study folders"):
        write_studies(tmp_path, tmp_path / "out", SHAPE)
    (tmp_path / "study").mkdir()
    with pytest.raises(ConfigurationError, match="no study with a report"):
        write_studies(tmp_path, tmp_path / "out", SHAPE)


def test_training_sees_the_very_frames_that_the_worker_sees(
    assessor: Assessor, tmp_path: Path
) -> None:
    """No skew: DICOM through intake, spool and assessment gives the same clip."""
    paths = write_study(tmp_path / "one", draw_heart(7))
    intake = Intake(assessor.spool, full_ledger(assessor))
    for path in paths:
        intake.accept(path.read_bytes(), SOURCE)
    study_uid = read_identity(paths[0].read_bytes()).study_uid
    assert assessor.ledger.move(current(assessor.ledger, study_uid), Event.JUDGED_COMPLETE, "quiet")
    assessor.assess(study_uid, 1)
    assert isinstance(assessor.model.encoder, FakeEncoder)
    (served,) = assessor.model.encoder.clips
    trained = study_frames(tmp_path / "one", ClipForm(frames=64, height=224, width=224))
    assert np.array_equal(served, trained)


def test_a_folder_without_a_heart_gives_no_clip(tmp_path: Path) -> None:
    with pytest.raises(DamagedInstance, match="no view"):
        study_frames(tmp_path, SHAPE)


def test_the_command_makes_pairs(archive: Path, tmp_path: Path) -> None:
    arguments = ["pairs", "--studies", str(archive), "--out", str(tmp_path)]
    arguments += ["--secret", str(tmp_path / "secret")]
    clip = tmp_path / "clip.json"
    clip.write_text(SHAPE.model_dump_json())
    done = CliRunner().invoke(cli, [*arguments, "--clip", str(clip)])
    assert done.exit_code == 0, done.output
    assert len(open_pairs(tmp_path)) == 4
    assert (tmp_path / "secret" / "secret").stat().st_mode & 0o777 == 0o600


def test_a_report_that_looks_like_a_formula_stays_a_text(tmp_path: Path) -> None:
    told = ["=1+1", "- normal", "'=1", "normal"]
    frames = np.zeros((1, 32, 32), np.uint8)
    rows = [(frames, {"id": text, "impression": text, "+lge": "1"}) for text in told]
    write_pairs(tmp_path, rows, 4, SHAPE)
    assert "\n" in (tmp_path / "pairs.csv").read_text()
    lines = (tmp_path / "pairs.csv").read_text().splitlines()
    assert not [line for line in lines if ",=" in line or ",-" in line or ",+" in line]
    pairs = open_pairs(tmp_path)
    assert list(pairs.impressions) == told
    assert pairs.labels("+lge").tolist() == [1.0] * 4
