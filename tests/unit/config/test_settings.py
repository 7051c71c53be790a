import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from triage.config import (
    DicomwebArchiveSettings,
    Settings,
    StowSettings,
    WebSettings,
    load,
    render_settings,
    require_peers,
)
from triage.destinations import DESTINATIONS
from triage.destinations.dicom_store import DicomDestinationSettings
from triage.destinations.folder import FolderDestinationSettings
from triage.destinations.webhook import WebhookDestinationSettings
from triage.domain.errors import ConfigurationError
from triage.web.passwords import hash_password

TWICE = """destinations:
  - {name: a, ae_title: A, host: localhost, port: 1}
  - {name: a, ae_title: B, host: localhost, port: 1}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "triage.yaml"
    path.write_text(text)
    return path


def test_without_a_file_the_defaults_apply_and_nothing_listens_beyond_this_machine() -> None:
    settings = load(None, {})
    assert settings.receiver.host == "127.0.0.1"
    assert settings.redis_url is None
    assert settings.receiver.quiet_s == 15


def test_the_environment_names_the_file_and_sets_single_fields(tmp_path: Path) -> None:
    path = written(tmp_path, "receiver: {port: 104, calling: [PACS]}\n")
    environment = {
        "TRIAGE_CONFIG": str(path),
        "TRIAGE_RECEIVER__QUIET_S": "30",
        "TRIAGE_REDIS_URL": "rediss://broker/0",
        "TRIAGE_RECEIVER__CALLING": "[A, B]",
    }
    settings = load(None, environment)
    assert settings.receiver.port == 104
    assert settings.receiver.quiet_s == 30
    assert settings.receiver.calling == ("A", "B")
    assert settings.redis_url == "rediss://broker/0"


def test_relative_paths_are_resolved_against_the_file(tmp_path: Path) -> None:
    settings = load(written(tmp_path, "state_dir: state\nfindings: ours.yaml\n"), {})
    assert settings.state_dir == tmp_path / "state"
    assert settings.findings == tmp_path / "ours.yaml"
    assert settings.model.bundle.is_absolute()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("receiver: {port: 0}", "line 1: receiver.port"),
        ("reciever: {}", "line 1: reciever: is no known field"),
        ("receiver:\n  ae_title: MUCH_TOO_LONG_A_TITLE", "line 2: receiver.ae_title: an AE title"),
        ("receiver:\n  calling: ['A\\B']", "line 2: receiver.calling.0: an AE title"),
        ("receiver:\n  peers: {mr1: {}}", "line 2: receiver.peers.mr1.ae_titles: is missing"),
        ("receiver: {peers: {a: {ae_titles: []}}}", "receiver.peers.a.ae_titles"),
        ("receiver: {peers: {A: {ae_titles: [X]}}}", "receiver.peers.A"),
        (
            "receiver: {peers: {a: {ae_titles: [X], addresses: [10.1.2.3/24]}}}",
            "receiver.peers.a.addresses.0: 10.1.2.3/24 has host bits set; write an address as",
        ),
        (
            "receiver:\n  calling: [MR1]\n  peers: {a: {ae_titles: [MR1]}}",
            "receiver: MR1 is in calling, which lets it send from any address, and in peers.a",
        ),
        (
            "receiver: {peers: {a: {ae_titles: [X], certificates: [a.example]}}}",
            "receiver: peers.a.certificates: set tls.clients",
        ),
        (
            "receiver: {port: 104, tls: {port: 104, certificate: a, key: b}}",
            "receiver: tls.port must differ from port",
        ),
        ("receiver: {storage_classes: [MRImage]}", "receiver.storage_classes.0: write a SOP class"),
        ("receiver: {storage_classes: ['1.2.840.10008.1.1']}", "is no storage SOP class"),
        ("receiver: {storage_classes: ['1.2.3', '1.2.3']}", "storage_classes has 1.2.3 twice"),
        (
            f"receiver: {{storage_classes: [{', '.join(f'1.2.3.{n}' for n in range(65))}]}}",
            "receiver.storage_classes",
        ),
        ("receiver: {storage: all}", "receiver.storage"),
        ("receiver: {corrected_study: replace}", "receiver.corrected_study"),
        ("receiver: {associations: 1000}", "receiver.associations"),
        ("receiver: {quiet_s: 0}", "receiver.quiet_s"),
        ("receiver: {quiet_s: .inf}", "receiver.quiet_s"),
        ("redis_url: localhost:6379", "redis_url: write a Redis as redis://"),
        (
            "case_library: postgresql://u:hush@h/db",
            "line 1: case_library: write a PostgreSQL as postgresql+psycopg://",
        ),
        (
            "ledger: sqlite:///u:hush@h/db",
            "line 1: ledger: write a PostgreSQL as postgresql+psycopg://",
        ),
        ("receiver: {complete: {evidence: [count]}}", "ask must name the PACS that is queried"),
        (
            "receiver: {complete: {sources: [{calling: MR1, evidence: [count]}]}}",
            "ask must name the PACS that is queried",
        ),
        (
            "receiver: {complete: {sources: [{calling: MR1}, {calling: MR1}]}}",
            "two sources have the same calling AE title",
        ),
        ("receiver: {complete: {evidence: [moon]}}", "receiver.complete.evidence.0"),
        ("receiver:\n  commitment: [{calling: MR1, host: h}]", "receiver.commitment.0.port"),
        ("archives: {pacs: {kind: ftp}}", "archives.pacs"),
        ("archives:\n  Pacs: {kind: dicomweb, url: http://h/w}", "line 2: archives.Pacs"),
        ("archives: {a: {kind: dicom, ae_title: A, host: h}}", "port: is missing"),
        (
            "archives: {a: {kind: dicomweb, url: 'h/web'}}",
            "write a DICOMweb service as https://host/dicom-web",
        ),
        ("archives: {a: {kind: dicomweb, url: 'https://u:hush@h/web'}}", "go into authorization"),
        ("archives: {a: {kind: dicomweb, url: 'https://h/web', hours: 22-6}}", "22:00-06:00"),
        (
            "archives: {a: {kind: dicomweb, url: 'http://h/web', authorization: Bearer hush}}",
            "authorization to h could be read on the way",
        ),
        (
            "destinations: [{name: a, kind: webhook, url: 'https://h/p'}]",
            "set either secret or secret_file",
        ),
        (
            "destinations: [{name: a, kind: webhook, url: 'http://h/p', secret: hush}]",
            "readable on the way to h",
        ),
        (
            "destinations: [{name: a, kind: webhook, url: 'https://u:hush@h', secret: hush}]",
            "must not contain a user or a password",
        ),
        (
            "destinations: [{name: a, kind: webhook, url: 'https://h?t=hush', secret: hush}]",
            "write an address as https://host/path",
        ),
        ("model: {provider: tpu}", "model.provider"),
        (
            TWICE,
            "two destinations have the same name",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        load(written(tmp_path, text), {})
    assert message in str(error.value)
    assert "hush" not in str(error.value)


def test_an_error_in_a_destination_has_the_location_as_written(tmp_path: Path) -> None:
    text = "destinations:\n  - name: out\n    kind: folder\n    port: 104\n"
    with pytest.raises(ConfigurationError) as error:
        load(written(tmp_path, text), {})
    missing, unknown = str(error.value).splitlines()
    assert missing.endswith("line 2: destinations.0.path: is missing")
    assert unknown.endswith("line 4: destinations.0.port: is no known field; check its spelling")


def test_a_destination_without_a_kind_is_a_dicom_destination(tmp_path: Path) -> None:
    text = (
        "destinations: [{name: a, ae_title: A, host: localhost, port: 1},"
        " {name: b, kind: folder, path: p}]"
    )
    pacs, folder = load(written(tmp_path, text), {}).destinations
    assert isinstance(pacs, DicomDestinationSettings)
    assert folder == FolderDestinationSettings(name="b", kind="folder", path=tmp_path / "p")


def test_the_environment_changes_a_list_item_by_its_name(tmp_path: Path) -> None:
    text = (
        "destinations: [{name: a, ae_title: A, host: localhost, port: 1},"
        " {name: b, kind: folder, path: p}]"
    )
    changed = {"TRIAGE_DESTINATIONS__A__PORT": "104", "TRIAGE_DESTINATIONS__B__PATH": "/q"}
    pacs, folder = load(written(tmp_path, text), changed).destinations
    assert isinstance(pacs, DicomDestinationSettings)
    assert pacs.port == 104
    assert folder == FolderDestinationSettings(name="b", kind="folder", path=Path("/q"))
    with pytest.raises(ConfigurationError, match="^environment: destinations.0.port: Input"):
        load(written(tmp_path, text), {"TRIAGE_DESTINATIONS__A__PORT": "x"})
    with pytest.raises(ConfigurationError, match="destinations.c.port: a single field"):
        load(written(tmp_path, text), {"TRIAGE_DESTINATIONS__C__PORT": "104"})


HOOK = "{name: hook, kind: webhook, url: 'https://h/p', secret: hush}"


def test_the_secret_of_a_webhook_is_not_shown(tmp_path: Path) -> None:
    path = written(tmp_path, f"destinations: [{HOOK}]")
    assert "hush" not in render_settings(load(path, {}))
    overlay = {"TRIAGE_DESTINATIONS__HOOK__SECRET": "hush from elsewhere"}
    settings = load(path, overlay)
    (hook,) = settings.destinations
    assert isinstance(hook, WebhookDestinationSettings)
    assert hook.secret is not None
    assert hook.secret.get_secret_value() == "hush from elsewhere"
    assert "hush" not in render_settings(settings) + repr(settings)


def test_an_unknown_kind_of_destination_is_reported_with_the_known_kinds(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="line 1: destinations.0: kind must be ") as error:
        load(written(tmp_path, "destinations: [{name: a, kind: pigeon}]"), {})
    assert all(kind in str(error.value) for kind in DESTINATIONS)
    with pytest.raises(ConfigurationError, match="destinations.0: Input should be a valid dict"):
        load(written(tmp_path, "destinations: [pacs]"), {})


def test_a_misspelt_variable_of_the_environment_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="recever: is no known field"):
        load(None, {"TRIAGE_RECEVER__PORT": "104"})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("TRIAGE_RECEIVER__PORT", "x", "environment: receiver.port: Input should be"),
        ("TRIAGE_RECEIVER__CALLING", "[", "environment: receiver.calling: not YAML"),
        ("TRIAGE_DESTINATIONS__0__HOST", "h", "environment: destinations.0.host: a single field"),
    ],
)
def test_a_wrong_variable_is_reported_as_environment(
    tmp_path: Path, name: str, value: str, message: str
) -> None:
    path = written(tmp_path, "destinations: [{name: a, ae_title: A, host: localhost, port: 1}]\n")
    with pytest.raises(ConfigurationError) as error:
        load(path, {name: value})
    assert str(error.value).startswith(message)


def test_a_password_of_the_broker_is_not_shown() -> None:
    settings = Settings(redis_url="rediss://user:hush@broker:6379/0")
    assert "hush" not in render_settings(settings)
    assert "rediss://***@broker:6379/0" in render_settings(settings)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql+psycopg://u:hush@host/db", "postgresql+psycopg://***@host/db"),
        ("postgresql+psycopg://u:hu/sh@host/db", "postgresql+psycopg://***@host/db"),
        ("postgresql+psycopg://u:hu@sh@host/db", "postgresql+psycopg://***@host/db"),
        (
            "postgresql+psycopg://host/db?password=hush&user=u",
            "postgresql+psycopg://host/db?password=***&user=u",
        ),
    ],
)
def test_a_password_of_a_database_is_not_shown(url: str, expected: str) -> None:
    text = render_settings(
        Settings(
            ledger=url,
            case_library=url,
            redis_url="redis://user:hush@broker",
            without_tls=("redis_url", "ledger", "case_library"),
        )
    )
    assert json.loads(text)["case_library"] == expected
    assert json.loads(text)["ledger"] == expected
    assert json.loads(text)["redis_url"] == "redis://***@broker"


def test_a_missing_file_is_an_error_with_its_path() -> None:
    with pytest.raises(ConfigurationError, match="cannot read /nowhere/triage.yaml"):
        load(Path("/nowhere/triage.yaml"), {})


def test_a_service_needs_senders_and_destinations() -> None:
    with pytest.raises(ConfigurationError, match="receiver.calling is empty"):
        require_peers(Settings())
    known = {"mr1": {"ae_titles": ["MR1"]}}
    for receiver in ({"calling": ["PACS"]}, {"peers": known}):
        listening = Settings.model_validate({"receiver": receiver})
        with pytest.raises(ConfigurationError, match="destinations is empty"):
            require_peers(listening)


def test_a_page_beyond_this_machine_needs_a_certificate_or_without_tls() -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        assert WebSettings(host=host).certificate is None
    with pytest.raises(ValidationError, match="passwords could be read on the way"):
        WebSettings(host="10.1.2.3")
    assert WebSettings(host="10.1.2.3", without_tls=True).host == "10.1.2.3"
    assert WebSettings(host="10.1.2.3", certificate=Path("c"), key=Path("k")).key == Path("k")


def test_retention_must_remove_images_before_the_receiver_refuses() -> None:
    receiver = {"free_bytes": 1000}
    Settings.model_validate({"receiver": receiver, "retention": {"spool_free_bytes": 1101}})
    with pytest.raises(ValueError, match="must be above 1100"):
        Settings.model_validate({"receiver": receiver, "retention": {"spool_free_bytes": 1100}})


def test_free_space_of_an_object_store_is_not_a_retention_limit() -> None:
    chosen = {"spool": {"url": "s3://images"}, "retention": {"spool_free_bytes": 10**10}}
    with pytest.raises(ValueError, match="does not work with an s3:// spool"):
        Settings.model_validate(chosen)
    Settings.model_validate({**chosen, "spool": {"url": "file:///mnt/share"}})


def test_nothing_is_removed_by_default() -> None:
    assert not Settings().retention.limits.has_any
    limits = Settings.model_validate({"retention": {"spool_days": 0.5}}).retention.limits
    assert (limits.delivered_s, limits.has_any) == (43_200, True)


def test_a_web_certificate_is_resolved_against_the_file(tmp_path: Path) -> None:
    settings = load(written(tmp_path, "web: {certificate: c.pem, key: k.pem}\n"), {})
    assert settings.web.certificate == tmp_path / "c.pem"
    assert settings.web.key == tmp_path / "k.pem"


def test_tls_files_are_resolved_against_the_file(tmp_path: Path) -> None:
    text = "receiver: {tls: {certificate: c.pem, key: k.pem, clients: ca.pem}}\n"
    tls = load(written(tmp_path, text), {}).receiver.tls
    assert tls is not None
    assert (tls.certificate, tls.key) == (tmp_path / "c.pem", tmp_path / "k.pem")
    assert tls.clients == tmp_path / "ca.pem"


def test_a_password_that_is_not_hashed_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="web.users.anna") as error:
        load(written(tmp_path, "web: {users: {anna: hush hush hush}}\n"), {})
    assert "hush" not in str(error.value)


def test_hashed_passwords_are_not_shown() -> None:
    users = {"anna": hash_password("correct horse battery")}
    text = render_settings(Settings(web=WebSettings(users=users)))
    assert '"anna":"scrypt$***"' in text
    assert users["anna"] not in text


def test_the_authorization_of_an_archive_comes_from_the_environment_and_is_not_shown(
    tmp_path: Path,
) -> None:
    text = "archives: {vna: {kind: dicomweb, url: 'https://h/web', trusted: ca.pem}}"
    environment = {"TRIAGE_ARCHIVES__VNA__AUTHORIZATION": "Bearer hush"}
    settings = load(written(tmp_path, text), environment)
    vna = settings.archives["vna"]
    assert isinstance(vna, DicomwebArchiveSettings)
    assert vna.authorization is not None
    assert vna.authorization.get_secret_value() == "Bearer hush"
    assert vna.trusted == tmp_path / "ca.pem"
    assert "hush" not in render_settings(settings) + repr(settings)


def test_an_archive_has_one_authorization(tmp_path: Path) -> None:
    vna = "{kind: dicomweb, url: 'https://h', authorization: hush, authorization_file: f}"
    with pytest.raises(ConfigurationError, match="give authorization or authorization_file") as e:
        load(written(tmp_path, f"archives: {{vna: {vna}}}"), {})
    assert "hush" not in str(e.value)


TOKEN = "sha256$" + "0" * 64
STOW = {"senders": {"MR1": {"token": TOKEN}}}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"senders": {}}, "at least 1 item"),
        ({"senders": {"MR1": {}}}, "triage token"),
        ({"senders": {"MR1": {"token": "secret"}}}, "triage token"),
        ({"senders": {"MR1": {"certificates": ["mr1"]}}}, "set clients"),
        ({"host": "10.1.2.3"}, "read on the way"),
        ({"certificate": "c.pem"}, "give certificate and key together"),
        ({"clients": "ca.pem"}, "needs certificate and key"),
    ],
)
def test_stow_without_identification_or_tls_is_refused(
    changed: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        StowSettings.model_validate({**STOW, **changed})


def test_no_token_is_shown_and_paths_are_resolved_against_the_file(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "receiver:\n"
        "  folder: {path: in}\n"
        f"  stow: {{certificate: c.pem, key: c.key, senders: {{MR1: {{token: {TOKEN}}}}}}}\n",
    )
    settings = load(path, {})
    assert settings.receiver.folder is not None
    assert settings.receiver.folder.path == tmp_path / "in"
    assert settings.receiver.stow is not None
    assert settings.receiver.stow.certificate == tmp_path / "c.pem"
    assert settings.receiver.stow.clients is None
    assert "0" * 64 not in render_settings(settings)


def test_a_receiver_over_http_or_from_a_folder_needs_no_ae_titles() -> None:
    destination = {"name": "pacs", "ae_title": "PACS", "host": "localhost", "port": 104}
    for receiver in ({"stow": STOW}, {"folder": {"path": "in"}}):
        settings = {"receiver": receiver, "destinations": [destination]}
        require_peers(Settings.model_validate(settings))


def test_a_pacs_asked_for_commitment_must_be_a_permitted_peer(tmp_path: Path) -> None:
    text = (
        "destinations: [{name: a, ae_title: PACS, host: localhost, port: 104, commitment: true,"
        " commitment_from: [PACS2]}]\nreceiver: "
    )
    with pytest.raises(ConfigurationError, match="destination a .* add PACS2 to receiver.calling"):
        require_peers(load(written(tmp_path, f"{text}{{calling: [PACS]}}"), {}))
    peers = "peers: {b: {ae_titles: [PACS2]}}"
    require_peers(load(written(tmp_path, f"{text}{{calling: [PACS], {peers}}}"), {}))
