"""The bucket with a store that is unreachable, slow, full or unsuitable."""

import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.builders.images import image, part10
from tests.integration.certificates import Authority
from triage.cli.demo_site import find_free_port
from triage.config import SpoolSettings
from triage.dicom.header import read_identity
from triage.domain.errors import ConfigurationError, SpoolFull, SpoolUnavailable
from triage.store import bucket as module
from triage.store.bucket import Bucket
from triage.store.object_spool import ObjectSpool

CONTENT = part10(image())
IDENTITY = read_identity(CONTENT)
TIMEOUT_S = 0.3
PREFIX = "/bucket/"


class SimpleStore:
    """An object store without conditions and checksums that can be set to refuse."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.refusal: tuple[int, str] | None = None
        self.knows_checksums = False
        self.silent = threading.Event()
        self.requests = 0

    def answer(
        self, command: str, key: str, content: bytes, digest: str
    ) -> tuple[int, str] | tuple[int, str, bytes]:
        """Return status, error code and content."""
        if command == "PUT":
            return self.put(key, content, digest)
        if command == "DELETE":
            self.objects.pop(key, None)
            return 204, ""
        if key.rstrip("/") == PREFIX.rstrip("/"):
            return 200, ""
        return (200, "", self.objects[key]) if key in self.objects else (404, "NoSuchKey")

    def put(self, key: str, content: bytes, digest: str) -> tuple[int, str]:
        """Overwrite an object."""
        right = b64encode(sha256(content).digest()).decode()
        if self.knows_checksums and digest != right:
            return 400, "BadDigest"
        self.objects[key] = content
        return 200, ""


class ObjectStoreHandler(BaseHTTPRequestHandler):
    """Responds as its store does."""

    protocol_version = "HTTP/1.1"
    store: SimpleStore

    def answer(self) -> None:
        self.store.requests += 1
        if self.store.silent.is_set():
            time.sleep(4 * TIMEOUT_S)
            self.close_connection = True
            return
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        digest = self.headers.get("x-amz-checksum-sha256", "")
        if self.store.refusal is not None:
            self.respond(*self.store.refusal)
        else:
            self.respond(*self.store.answer(self.command, self.path, content, digest))

    do_GET = do_PUT = do_HEAD = do_DELETE = answer  # noqa: N815 - names of http.server

    def respond(self, status: int, code: str, content: bytes = b"") -> None:
        body = f"<Error><Code>{code}</Code></Error>".encode() if code else content
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def serving(store: SimpleStore, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve the store until the block ends; yield the port."""
    handler = type("OfStore", (ObjectStoreHandler,), {"store": store})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    running = threading.Thread(target=server.serve_forever)
    running.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        running.join()
        server.server_close()


@pytest.fixture
def store() -> SimpleStore:
    return SimpleStore()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text("[default]\naws_access_key_id = us\naws_secret_access_key = hush\n")
    return path


class RequestWatch:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def watch() -> RequestWatch:
    return RequestWatch()


def at(port: int, keys: Path, watch: RequestWatch) -> Bucket:
    url = f"http://127.0.0.1:{port}"
    chosen = SpoolSettings(url="s3://bucket", endpoint=url, credentials=keys, timeout_s=TIMEOUT_S)
    return Bucket(chosen, watch)


@pytest.fixture
def bucket(store: SimpleStore, keys: Path, watch: RequestWatch) -> Iterator[Bucket]:
    with serving(store) as port:
        yield at(port, keys, watch)


def test_probe_rejects_a_store_that_ignores_checksums(bucket: Bucket, store: SimpleStore) -> None:
    with pytest.raises(ConfigurationError, match="supports the header x-amz-checksum-sha256"):
        bucket.probe()
    assert store.objects == {}


def test_probe_rejects_a_store_that_overwrites_before_the_first_instance(
    bucket: Bucket, store: SimpleStore, tmp_path: Path
) -> None:
    store.knows_checksums = True
    with pytest.raises(ConfigurationError, match="supports the header If-None-Match"):
        bucket.probe()
    spool = ObjectSpool(bucket, tmp_path)
    with pytest.raises(SpoolUnavailable, match="overwrites existing objects"):
        spool.keep(IDENTITY, CONTENT)
    with pytest.raises(SpoolUnavailable, match="overwrites existing objects"):
        spool.quarantine(b"damaged")
    assert store.objects == {}
    assert list((tmp_path / "spool" / "incoming").iterdir()) == []


def test_missing_write_permission_is_reported(bucket: Bucket, store: SimpleStore) -> None:
    store.refusal = (403, "AccessDenied")
    with pytest.raises(SpoolUnavailable, match=r"s3://bucket/ at http.* refused a probe with 403"):
        bucket.probe()
    with pytest.raises(SpoolUnavailable, match="answers 403 to HeadBucket"):
        bucket.check_reachable()
    assert not bucket.is_away


@pytest.mark.parametrize(("status", "code"), [(507, "InsufficientStorage"), (403, "QuotaExceeded")])
def test_a_full_store_raises_spool_full(
    bucket: Bucket, store: SimpleStore, tmp_path: Path, status: int, code: str
) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    store.refusal = (status, code)
    with pytest.raises(SpoolFull, match="no room left in s3://bucket/") as error:
        bucket.put("key", tmp_path / "file", "00" * 32)
    assert not isinstance(error.value, SpoolUnavailable)


def test_a_closed_port_raises_spool_unavailable(
    keys: Path, watch: RequestWatch, tmp_path: Path
) -> None:
    bucket = at(find_free_port(), keys, watch)
    spool = ObjectSpool(bucket, tmp_path)
    assert spool.measure_free_bytes() > 0  # no request was sent yet
    with pytest.raises(SpoolUnavailable, match="does not answer"):
        spool.read("1/2.dcm")
    with pytest.raises(SpoolUnavailable, match="does not answer"):
        spool.measure_free_bytes()
    with pytest.raises(SpoolUnavailable, match="does not answer"):
        list(spool.list_paths())
    spool.sweep()  # without a request
    with pytest.raises(SpoolUnavailable, match="does not answer"):
        spool.keep(IDENTITY, CONTENT)
    assert list((tmp_path / "spool" / "incoming").iterdir()) == []


def test_after_a_timeout_requests_fail_at_once_until_the_store_is_reachable(
    bucket: Bucket, store: SimpleStore, tmp_path: Path
) -> None:
    store.silent.set()
    spool = ObjectSpool(bucket, tmp_path)
    began = time.monotonic()
    with pytest.raises(SpoolUnavailable, match="does not answer"):
        spool.read("1/2.dcm")
    assert time.monotonic() - began < 10 * TIMEOUT_S + 2  # two attempts and a pause
    asked = store.requests
    for _ in range(100):
        with pytest.raises(SpoolUnavailable, match="does not answer"):
            spool.read("1/2.dcm")
    assert store.requests == asked
    store.silent.clear()
    assert spool.measure_free_bytes() > 0
    with pytest.raises(FileNotFoundError):
        spool.read("1/2.dcm")
    assert not bucket.is_away


def test_after_a_pause_requests_are_sent_again(
    bucket: Bucket, store: SimpleStore, watch: RequestWatch
) -> None:
    store.refusal = (503, "SlowDown")
    with pytest.raises(SpoolUnavailable, match="answers SlowDown to GetObject"):
        bucket.read_bytes("1")
    store.refusal = None
    store.objects[f"{PREFIX}1"] = b"there"
    with pytest.raises(SpoolUnavailable, match="does not answer"):
        bucket.read_bytes("1")
    watch.seconds += module.AWAY_S
    assert bucket.read_bytes("1") == b"there"


def test_only_a_certificate_of_the_configured_ca_is_accepted(
    store: SimpleStore, keys: Path, tmp_path: Path
) -> None:
    authority, other = (Authority(tmp_path, name) for name in ("authority", "other"))
    signed = authority.sign("store")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(signed.certificate, signed.key)
    with serving(store, context) as port:
        chosen = SpoolSettings(
            url="s3://bucket", endpoint=f"https://127.0.0.1:{port}", credentials=keys
        )
        ours = chosen.model_copy(update={"ca": authority.certificate})
        Bucket(ours).check_reachable()
        for ca in (None, other.certificate):
            with pytest.raises(SpoolUnavailable, match="does not answer \\(SSLError\\)"):
                Bucket(chosen.model_copy(update={"ca": ca})).check_reachable()


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_unreadable_ca_file_is_a_configuration_error(
    keys: Path, tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    chosen = SpoolSettings(
        url="s3://bucket", endpoint="https://s", credentials=keys, ca=tmp_path / "ca.pem"
    )
    with pytest.raises(ConfigurationError, match=r"spool.ca .*ca.pem cannot be read"):
        Bucket(chosen)


def test_missing_credentials_are_reported(
    monkeypatch: pytest.MonkeyPatch, watch: RequestWatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    bucket = Bucket(SpoolSettings(url="s3://bucket", endpoint="http://127.0.0.1:1"), watch)
    with pytest.raises(SpoolUnavailable, match="failed \\(NoCredentialsError\\)"):
        bucket.check_reachable()
    assert not bucket.is_away


def test_a_conflicting_write_is_retried(
    bucket: Bucket, store: SimpleStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS responds 409 to one of two concurrent writes of the same key."""
    monkeypatch.setattr(module, "CONFLICT_PAUSE_S", 0.0)
    (tmp_path / "file").write_bytes(b"content")
    answers = iter([(409, "ConditionalRequestConflict"), (200, "")])
    monkeypatch.setattr(store, "put", lambda *_: next(answers))
    assert bucket.put("key", tmp_path / "file", "00" * 32)
    monkeypatch.setattr(store, "put", lambda *_: (409, "ConditionalRequestConflict"))
    with pytest.raises(SpoolUnavailable, match="another write of the same key"):
        bucket.put("key", tmp_path / "file", "00" * 32)
