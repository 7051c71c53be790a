"""`triage backup` and `triage restore`: refusals, consistency, interruptions."""

import multiprocessing
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from tests.builders.small_studies import not_for_us, small_study
from tests.contract.exact_libraries import add_for, opened, vector
from tests.contract.ledgers import SOURCE
from tests.integration.command_line import run_triage
from tests.integration.postgres import Postgres
from tests.waiting import HOST
from triage.cases.keys import FILE, load_or_create_secret
from triage.config import Settings
from triage.domain.case import Case
from triage.domain.study import Event, State
from triage.pipeline.intake import Intake
from triage.runtime.clock import SystemClock
from triage.store.database import Database
from triage.store.ledger import SqlLedger
from triage.store.snapshot import copy_ledger
from triage.store.spool import FileSpool

#: Runs a command and is killed when it reaches a function.
KILLED = """
    import os, signal, sys
    from pathlib import Path
    import triage.runtime.backup, triage.runtime.restore, triage.store.backup_archive
    from triage.__main__ import main

    def killed(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    moment = sys.argv[1]
    if moment == "copied":
        triage.runtime.backup._read_ledger = killed
    elif moment == "before the manifest":
        triage.store.backup_archive.ArchiveWriter.add_manifest = killed
    elif moment == "before the name":
        Path.rename = killed
    elif moment == "extracted":
        triage.runtime.restore._migrate = killed
    elif moment == "some parts in place":
        rename = Path.rename

        def some(path, target):
            if path.name == "ledger.sqlite":
                killed()
            return rename(path, target)

        Path.rename = some
    elif moment == "all parts in place":
        triage.runtime.restore.fsync_folder = killed
    main(sys.argv[2:])
"""


def configure(folder: Path, **settings: object) -> Path:
    content = {
        "state_dir": "state",
        "receiver": {"calling": ["PACS"]},
        "destinations": [{"name": "pacs", "ae_title": "PACS", "host": HOST, "port": 1}],
        **settings,
    }
    (folder / "triage.yaml").write_text(yaml.safe_dump(content))
    return folder / "triage.yaml"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return the settings of a site with a study that arrives, and one that was delivered."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    fill(state, SqlLedger.in_folder(state, SystemClock()))
    load_or_create_secret(state)
    return configure(tmp_path)


def fill(state: Path, ledger: SqlLedger) -> None:
    """Receive a study that arrives, and one that is delivered."""
    intake = Intake(FileSpool(state), ledger)
    for study in (small_study(1), not_for_us(2)):
        for part10 in study.instances:
            intake.accept(part10, SOURCE)
    (arriving, ended) = sorted(ledger.list_studies(), key=lambda study: -study.instances)
    assert ledger.move(ended, Event.JUDGED_COMPLETE, "quiet")
    assert ledger.claim(ended.study_uid, 1, "worker", 30)
    claimed = ledger.get_study(ended.study_uid, 1)
    assert claimed is not None
    assert ledger.finish(claimed, "worker", "{}", [], []) is not None
    assert arriving.state is State.RECEIVING
    ledger.close()


def states(folder: Path) -> dict[str, State]:
    ledger = SqlLedger.in_folder(folder, SystemClock())
    try:
        return {study.study_uid: study.state for study in ledger.list_studies()}
    finally:
        ledger.close()


def images(folder: Path) -> set[str]:
    return {path.name for path in (folder / "spool").glob("*/*.dcm")}


@pytest.mark.parametrize("every", [False, True])
def test_a_backup_restores_ledger_secret_and_the_images_that_are_needed(
    config: Path, tmp_path: Path, *, every: bool
) -> None:
    file, state, there = tmp_path / "backup.tgz", tmp_path / "state", tmp_path / "there"
    options = ["--all-images"] if every else []
    made = run_triage("backup", file, *options, config=config)
    assert made.returncode == 0, made.stderr
    assert ("images of 1 delivered studies: --all-images" in made.stdout) != every
    there.mkdir()
    done = run_triage("restore", file, config=configure(there))
    assert done.returncode == 0, done.stderr
    assert "have the PACS send it again" in done.stdout
    assert states(there / "state") == states(state)
    assert (there / "state" / FILE).read_bytes() == (state / FILE).read_bytes()
    needed = images(state) if every else {path.name for path in kept_of(state, small_study(1).uid)}
    assert images(there / "state") == needed
    modes = [path.stat().st_mode & 0o077 for path in (there / "state").rglob("*")]
    assert not any(modes)
    assert not (there / "state" / "config").exists()


def kept_of(state: Path, study_uid: str) -> list[Path]:
    return list((state / "spool" / study_uid).iterdir())


def test_with_a_ledger_on_postgresql_all_images_are_saved_and_the_rest_is_left_to_pg_dump(
    server: Postgres, tmp_path: Path
) -> None:
    url, state, there = server.new_database(), tmp_path / "state", tmp_path / "there"
    state.mkdir(mode=0o700)
    fill(state, SqlLedger(Database(url), SystemClock()))
    secret = load_or_create_secret(state)
    made = run_triage("backup", tmp_path / "b.tar", config=configure(tmp_path, ledger=url))
    assert made.returncode == 0, made.stderr
    assert "the ledger, which is on PostgreSQL: dump it with pg_dump" in made.stdout
    there.mkdir()
    done = run_triage("restore", tmp_path / "b.tar", config=configure(there, ledger=url))
    assert done.returncode == 0, done.stderr
    assert "restore it with pg_restore before the worker starts" in done.stdout
    assert images(there / "state") == images(state)
    assert (there / "state" / FILE).read_bytes() == secret
    assert not SqlLedger.path_in(there / "state").exists()


def test_what_cannot_be_backed_up_or_restored_is_refused_with_a_reason(
    config: Path, tmp_path: Path
) -> None:
    file = tmp_path / "backup.tar"
    inside = run_triage("backup", tmp_path / "state" / "x.tar", config=config)
    assert (inside.returncode, "is in the state folder" in inside.stderr) == (2, True)
    absent = run_triage("backup", tmp_path / "no" / "x.tar", config=config)
    assert (absent.returncode, "is no folder" in absent.stderr) == (2, True)
    assert run_triage("backup", file, config=config).returncode == 0
    twice = run_triage("backup", file, config=config)
    assert (twice.returncode, "choose another name" in twice.stderr) == (2, True)
    full = run_triage("restore", file, config=config)
    assert (full.returncode, "is not empty" in full.stderr) == (2, True)
    (tmp_path / "new").mkdir()
    none = run_triage("backup", tmp_path / "y.tar", config=configure(tmp_path / "new"))
    assert (none.returncode, "no ledger to back up" in none.stderr) == (2, True)
    url = f"file://{tmp_path / 'new'}"
    other = run_triage("restore", file, config=configure(tmp_path / "new", spool={"url": url}))
    assert other.returncode == 2
    assert "with the spool on state_dir, and the settings have it on spool.url" in other.stderr
    assert list((tmp_path / "new" / "state").iterdir()) == []


def test_other_settings_findings_and_model_are_named(config: Path, tmp_path: Path) -> None:
    file, there = tmp_path / "backup.tar", tmp_path / "there"
    assert run_triage("backup", file, config=config).returncode == 0
    there.mkdir()
    findings = there / "findings.yaml"
    findings.write_text(Settings().findings.read_text() + "# changed\n")
    changed = configure(there, findings=str(findings), equipment={"serial": "other"})
    done = run_triage("restore", file, config=changed)
    assert done.returncode == 0, done.stderr
    assert "settings differ from the backup's: equipment, findings.yaml" in done.stderr
    assert "will therefore get other UIDs" in done.stderr
    assert (there / "state" / "restored" / "findings.yaml").is_file()


def killed_at(moment: str, *arguments: str) -> int:
    command = [sys.executable, "-c", textwrap.dedent(KILLED), moment, *arguments]
    return subprocess.run(command, check=False, capture_output=True).returncode


@pytest.mark.parametrize("moment", ["copied", "before the manifest", "before the name"])
def test_a_backup_that_is_killed_leaves_nothing_under_its_name(
    config: Path, tmp_path: Path, moment: str
) -> None:
    file = tmp_path / "backup.tar"
    assert killed_at(moment, "--config", str(config), "backup", str(file)) == -signal.SIGKILL
    assert not file.exists()
    assert [path for path in tmp_path.iterdir() if ".part-" in path.name]
    assert run_triage("backup", file, config=config).returncode == 0
    assert not [path for path in tmp_path.iterdir() if ".part-" in path.name]


@pytest.mark.parametrize("moment", ["extracted", "some parts in place", "all parts in place"])
def test_a_state_folder_whose_restore_was_killed_is_refused(
    config: Path, tmp_path: Path, moment: str
) -> None:
    file, there = tmp_path / "backup.tar", tmp_path / "there"
    assert run_triage("backup", file, config=config).returncode == 0
    there.mkdir()
    new = configure(there)
    assert killed_at(moment, "--config", str(new), "restore", str(file)) == -signal.SIGKILL
    for command in (["check"], ["restore", str(file)], ["backup", str(tmp_path / "next.tar")]):
        refused = run_triage(*command, config=new)
        assert refused.returncode == 2
        assert "was interrupted" in refused.stderr or "is not empty" in refused.stderr


def test_ledger_and_vectors_are_of_one_moment_while_cases_are_added_and_replaced(
    tmp_path: Path,
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    library = opened(site)
    spawn = multiprocessing.get_context("spawn")
    adding = spawn.Process(target=add_for, args=(3.0, site, "1"))
    adding.start()
    copies: list[Path] = []
    while adding.is_alive():
        library.add(Case("moving", "mover"), vector(len(copies)))
        copy = tmp_path / f"copy-{len(copies)}"
        copy.mkdir()
        copy_ledger(site / "ledger.sqlite", site / "cases", copy, lambda _: None)
        copies.append(copy)
    adding.join()
    assert adding.exitcode == 0
    print(len(copies), "copies")
    for number, copy in enumerate(copies[:20]):
        copied = opened(copy)
        for study_uid in copied.list_study_uids():
            embedding = copied.get_embedding(study_uid)
            assert embedding is not None
            assert embedding.any(), (number, study_uid)
    assert opened(copies[-1]).count_cases() > 1
