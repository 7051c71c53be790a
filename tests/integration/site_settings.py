"""Settings of a site without a PACS: its reports go to a folder."""

from pathlib import Path
from typing import Any

import yaml

from triage.cli.demo_site import find_free_port
from triage.web.passwords import hash_password

HASHED_PASSWORD = hash_password("correct horse battery")
SENDERS = {"MR1": {"token": "sha256$" + "0" * 64}}


def configured(folder: Path, **settings: Any) -> Path:
    """Write the settings file of a site and return its path."""
    (folder / "out").mkdir(exist_ok=True)
    content = {
        "state_dir": "state",
        "receiver": receiver(),
        "destinations": [{"name": "out", "kind": "folder", "path": "out"}],
        **settings,
    }
    path = folder / "triage.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def receiver(**settings: Any) -> dict[str, Any]:
    """Return settings of a receiver on a free port."""
    return {"port": find_free_port(), "calling": ["PACS"], **settings}


def listening(service: str, port: int, host: str = "127.0.0.1") -> dict[str, Any]:
    """Return settings in which a service listens on a port."""
    address = {"port": port, "host": host}
    secure = {"without_tls": True} if host != "127.0.0.1" else {}
    match service:
        case "stow":
            return {"receiver": receiver(stow={**address, **secure, "senders": SENDERS})}
        case "web":
            return {"web": {**address, **secure, "users": {"anna": HASHED_PASSWORD}}}
        case "metrics":
            return {"metrics": address}
    return {"receiver": receiver(**address)}
