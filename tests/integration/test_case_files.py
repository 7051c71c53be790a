"""A lost secret stops the worker; lost vectors are reported, and the worker works without them."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.integration.command_line import run_triage
from tests.waiting import HOST
from triage.cases.keys import FILE
from triage.cli.demo_site import find_free_port
from triage.config import load
from triage.domain.case import Case
from triage.model.bundle import open_bundle
from triage.runtime.paths import CASES
from triage.runtime.storage import open_past_cases


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return the settings of a site with three past cases."""
    content = {
        "state_dir": "state",
        "redis_url": f"redis://{HOST}:1/0",
        "receiver": {"calling": ["PACS"], "port": find_free_port()},
        "destinations": [{"name": "pacs", "ae_title": "PACS", "host": HOST, "port": 1}],
    }
    path = tmp_path / "triage.yaml"
    path.write_text(yaml.safe_dump(content))
    settings = load(path, {})
    bundle = open_bundle(settings.model.bundle)
    library = open_past_cases(settings, bundle).library
    vector = np.ones(bundle.manifest.sizes.embedding, np.float32)
    for number in range(3):
        library.add(Case(f"1.{number}", f"patient {number}"), vector / np.linalg.norm(vector))
    return path


@pytest.mark.parametrize("command", ["check", "serve", "health"])
@pytest.mark.parametrize("content", [None, b"another secret, of another site!"])
def test_a_missing_or_wrong_secret_is_reported_and_never_made_anew(
    config: Path, command: str, content: bytes | None
) -> None:
    secret = config.parent / "state" / FILE
    secret.unlink()
    if content is not None:
        secret.write_bytes(content)
        secret.chmod(0o600)
    done = run_triage(command, config=config)
    assert done.returncode == (1 if command == "health" else 2)
    said = done.stdout + done.stderr
    assert ("is missing" if content is None else "is not the one that made the keys") in said
    assert "Put back the file `secret` of a backup" in said
    assert secret.exists() == (content is not None)


def test_a_missing_vector_file_is_reported(config: Path) -> None:
    (vectors,) = (config.parent / "state" / CASES).iterdir()
    vectors.unlink()
    checked = run_triage("check", config=config)
    assert "3 past cases have lost their vectors" in checked.stderr
    done = run_triage("health", "--json", config=config)
    assert done.returncode == 1
    health = json.loads(done.stdout)
    parts = {part["part"]: part["condition"] for part in health["parts"]}
    assert health["condition"] == "ill"  # no process runs, and no broker
    assert parts["past cases"] == "degraded"
    assert {parts[part] for part in ("receive", "assess", "deliver", "broker")} == {"ill"}
    assert not vectors.exists()


def test_health_without_a_ledger_is_an_error_of_the_command(config: Path) -> None:
    other = config.with_name("other.yaml")
    other.write_text(config.read_text().replace("state_dir: state", "state_dir: nowhere"))
    done = run_triage("health", config=other)
    assert (done.returncode, "there is no ledger yet" in done.stderr) == (2, True)
    assert not (config.parent / "nowhere").exists()
