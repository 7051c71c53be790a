"""Settings of a site for the commands."""

from pathlib import Path
from typing import Any

import yaml

from tests.waiting import HOST
from triage.cli.demo_site import find_free_port


def configured(tmp_path: Path, port: int = 1, **settings: Any) -> Path:
    pacs = {"name": "pacs", "ae_title": "ORTHANC", "host": HOST, "port": port, "timeout_s": 2}
    content = {
        "state_dir": "state",
        "receiver": {"port": find_free_port(), "calling": ["PACS"]},
        "destinations": [pacs],
        **settings,
    }
    path = tmp_path / "triage.yaml"
    path.write_text(yaml.safe_dump(content))
    return path
