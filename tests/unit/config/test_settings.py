import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from triage.config import (
    DicomDestination,
    DicomwebArchive,
    FolderDestination,
    Settings,
    StowSettings,
    WebhookDestination,
    WebSettings,
    load,
    render_settings,
    require_peers,
)
from triage.destinations import KINDS
from triage.domain.errors import ConfigurationError
from triage.web.passwords import hash_password

TWICE = """destinations:
  - {name: a, ae_title: A, host: h, port: 1}
  - {name: a, ae_title: B, host: h, port: 1}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "triage.yaml"
    path.write_text(text)
    return path


def test_without_a_file_the_defaults_hold_and_nothing_listens_beyond_this_machine() -> None:
    settings = load(None, {})
    assert settings.receiver.host == "127.0.0.1"
    assert settings.redis_url is None
    assert settings.receiver.quiet_s == 15


def test_the_environment_names_the_file_and_sets_single_fields(tmp_path: Path) -> None:
    path = written(tmp_path, "receiver: {port: 104, calling: [PACS]}\n")
    environment = {
        "TRIAGE_CONFIG": str(path),
        "TRIAGE_RECEIVER__QUIET_S": "30",
        "TRIAGE_REDIS_URL": "redis://broker/0",
        "TRIAGE_RECEIVER__CALLING": "[A, B]",
    }
    settings = load(None, environment)
    assert settings.receiver.port == 104
    assert settings.receiver.quiet_s == 30
    assert settings.receiver.calling == ("A", "B")
    assert settings.redis_url == "redis://broker/0"


def test_relative_paths_are_seen_from_the_file(tmp_path: Path) -> None:
    settings = load(written(tmp_path, "state_dir: state\nfindings: ours.yaml\n"), {})
    assert settings.state_dir == tmp_path / "state"
    assert settings.findings == tmp_path / "ours.yaml"
    assert settings.model.bundle.is_absolute()


@pytest.mark.parametrize(
    ("text", "said"),
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
            "receiver.peers.a.addresses.0: 10.1.2.3/24 has host bits set; one is named as",
        ),
        (
            "receiver:\n  calling: [MR1]\n  peers: {a: {ae_titles: [MR1]}}",
            "receiver: MR1 stands in calling, which lets it send from anywhere, and in peers.a",
        ),
        (
            "receiver: {peers: {a: {ae_titles: [X], certificates: [a.example]}}}",
            "receiver: peers.a.certificates: set tls.clients",
        ),
        (
            "receiver: {port: 104, tls: {port: 104, certificate: a, key: b}}",
            "receiver: tls.port must be another one than port",
        ),
        ("receiver: {associations: 1000}", "receiver.associations"),
        ("receiver: {quiet_s: 0}", "receiver.quiet_s"),
        ("receiver: {quiet_s: .inf}", "receiver.quiet_s"),
        ("redis_url: localhost:6379", "redis_url: a Redis is named as redis://"),
        (
            "case_library: postgresql://u:hush@h/db",
            "line 1: case_library: a PostgreSQL is named as postgresql+psycopg://",
        ),
        (
            "ledger: sqlite:///u:hush@h/db",
            "line 1: ledger: a PostgreSQL is named as postgresql+psycopg://",
        ),
        ("receiver: {complete: {evidence: [count]}}", "ask must name the PACS that is asked"),
        (
            "receiver: {complete: {sources: [{calling: MR1, evidence: [count]}]}}",
            "ask must name the PACS that is asked",
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
        ("archives: {a: {kind: dicomweb, url: 'h/web'}}", "named as https://host/dicom-web"),
        ("archives: {a: {kind: dicomweb, url: 'https://u:hush@h/web'}}", "go into authorization"),
        ("archives: {a: {kind: dicomweb, url: 'https://h/web', hours: 22-6}}", "22:00-06:00"),
        (
            "archives: {a: {kind: dicomweb, url: 'http://h/web', authorization: Bearer hush}}",
            "to h it could be read on the way",
        ),
        (
            "destinations: [{name: a, kind: webhook, url: 'https://h/p'}]",
            "give secret or secret_file",
        ),
        (
            "destinations: [{name: a, kind: webhook, url: 'http://h/p', secret: hush}]",
            "to h it could be read on the way",
        ),
        (
            "destinations: [{name: a, kind: webhook, url: 'https://u:hush@h', secret: hush}]",
            "user and password have no place",
        ),
        (
            "destinations: [{name: a, kind: webhook, url: 'https://h?t=hush', secret: hush}]",
            "written as https://host/path",
        ),
        ("model: {provider: tpu}", "model.provider"),
        (
            TWICE,
            "two destinations have the same name",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        load(written(tmp_path, text), {})
    assert said in str(error.value)
    assert "hush" not in str(error.value)


def test_a_mistake_in_a_destination_of_a_kind_is_named_as_it_was_written(tmp_path: Path) -> None:
    text = "destinations:\n  - name: out\n    kind: folder\n    port: 104\n"
    with pytest.raises(ConfigurationError) as error:
        load(written(tmp_path, text), {})
    missing, unknown = str(error.value).splitlines()
    assert missing.endswith("line 2: destinations.0.path: is missing")
    assert unknown.endswith("line 4: destinations.0.port: is no known field; check its spelling")


def test_a_destination_without_a_kind_is_a_dicom_one(tmp_path: Path) -> None:
    text = (
        "destinations: [{name: a, ae_title: A, host: h, port: 1}, {name: b, kind: folder, path: p}]"
    )
    pacs, folder = load(written(tmp_path, text), {}).destinations
    assert isinstance(pacs, DicomDestination)
    assert folder == FolderDestination(name="b", kind="folder", path=tmp_path / "p")


def test_an_item_of_a_list_is_changed_by_its_name(tmp_path: Path) -> None:
    text = (
        "destinations: [{name: a, ae_title: A, host: h, port: 1}, {name: b, kind: folder, path: p}]"
    )
    changed = {"TRIAGE_DESTINATIONS__A__PORT": "104", "TRIAGE_DESTINATIONS__B__PATH": "/q"}
    pacs, folder = load(written(tmp_path, text), changed).destinations
    assert isinstance(pacs, DicomDestination)
    assert pacs.port == 104
    assert folder == FolderDestination(name="b", kind="folder", path=Path("/q"))
    with pytest.raises(ConfigurationError, match="^environment: destinations.0.port: Input"):
        load(written(tmp_path, text), {"TRIAGE_DESTINATIONS__A__PORT": "x"})
    with pytest.raises(ConfigurationError, match="destinations.c.port: only fields"):
        load(written(tmp_path, text), {"TRIAGE_DESTINATIONS__C__PORT": "104"})


HOOK = "{name: hook, kind: webhook, url: 'https://h/p', secret: hush}"


def test_the_secret_of_a_webhook_is_not_shown(tmp_path: Path) -> None:
    path = written(tmp_path, f"destinations: [{HOOK}]")
    assert "hush" not in render_settings(load(path, {}))
    overlay = {"TRIAGE_DESTINATIONS__HOOK__SECRET": "hush from elsewhere"}
    settings = load(path, overlay)
    (hook,) = settings.destinations
    assert isinstance(hook, WebhookDestination)
    assert hook.secret is not None
    assert hook.secret.get_secret_value() == "hush from elsewhere"
    assert "hush" not in render_settings(settings) + repr(settings)


def test_a_destination_that_would_get_nothing_is_named(tmp_path: Path) -> None:
    text = f"receiver: {{calling: [A]}}\ndestinations: [{HOOK}]\nreports: "
    with pytest.raises(ConfigurationError, match="hook would get nothing: of summary"):
        require_peers(load(written(tmp_path, f"{text}[pdf]"), {}))
    require_peers(load(written(tmp_path, f"{text}[pdf, summary]"), {}))


def test_a_kind_that_there_is_not_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="line 1: destinations.0: kind is ") as error:
        load(written(tmp_path, "destinations: [{name: a, kind: pigeon}]"), {})
    assert all(kind in str(error.value) for kind in KINDS)
    with pytest.raises(ConfigurationError, match="destinations.0: Input should be a valid dict"):
        load(written(tmp_path, "destinations: [pacs]"), {})


def test_a_misspelt_variable_of_the_environment_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="recever: is no known field"):
        load(None, {"TRIAGE_RECEVER__PORT": "104"})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TRIAGE_RECEIVER__PORT", "x", "environment: receiver.port: Input should be"),
        ("TRIAGE_RECEIVER__CALLING", "[", "environment: receiver.calling: not YAML"),
        ("TRIAGE_DESTINATIONS__0__HOST", "h", "environment: destinations.0.host: only fields"),
    ],
)
def test_a_wrong_variable_is_named_as_such(
    tmp_path: Path, name: str, value: str, said: str
) -> None:
    path = written(tmp_path, "destinations: [{name: a, ae_title: A, host: h, port: 1}]\n")
    with pytest.raises(ConfigurationError) as error:
        load(path, {name: value})
    assert str(error.value).startswith(said)


def test_a_password_of_the_broker_is_not_shown() -> None:
    settings = Settings(redis_url="redis://user:hush@broker:6379/0")
    assert "hush" not in render_settings(settings)
    assert "redis://***@broker:6379/0" in render_settings(settings)


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
    told = render_settings(
        Settings(ledger=url, case_library=url, redis_url="redis://user:hush@broker")
    )
    assert json.loads(told)["case_library"] == expected
    assert json.loads(told)["ledger"] == expected
    assert json.loads(told)["redis_url"] == "redis://***@broker"


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigurationError, match="cannot read /nowhere/triage.yaml"):
        load(Path("/nowhere/triage.yaml"), {})


def test_a_service_without_senders_or_destinations_says_what_is_missing() -> None:
    with pytest.raises(ConfigurationError, match="receiver.calling is empty"):
        require_peers(Settings())
    known = {"mr1": {"ae_titles": ["MR1"]}}
    for receiver in ({"calling": ["PACS"]}, {"peers": known}):
        listening = Settings.model_validate({"receiver": receiver})
        with pytest.raises(ConfigurationError, match="destinations is empty"):
            require_peers(listening)


def test_a_page_beyond_this_machine_needs_a_certificate_or_a_word() -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        assert WebSettings(host=host).certificate is None
    with pytest.raises(ValidationError, match="passwords could be read on the way"):
        WebSettings(host="10.1.2.3")
    assert WebSettings(host="10.1.2.3", without_tls=True).host == "10.1.2.3"
    assert WebSettings(host="10.1.2.3", certificate=Path("c"), key=Path("k")).key == Path("k")


def test_room_is_made_before_the_receiver_refuses_for_want_of_it() -> None:
    receiver = {"free_bytes": 1000}
    Settings.model_validate({"receiver": receiver, "retention": {"spool_free_bytes": 1101}})
    with pytest.raises(ValueError, match="must be above 1100"):
        Settings.model_validate({"receiver": receiver, "retention": {"spool_free_bytes": 1100}})


def test_room_is_not_made_in_an_object_store_which_does_not_tell_it() -> None:
    chosen = {"spool": {"url": "s3://images"}, "retention": {"spool_free_bytes": 10**10}}
    with pytest.raises(ValueError, match="does not go with an s3:// spool"):
        Settings.model_validate(chosen)
    Settings.model_validate({**chosen, "spool": {"url": "file:///mnt/share"}})


def test_nothing_is_removed_unless_the_site_says_so() -> None:
    assert not Settings().retention.limits.any_set
    limits = Settings.model_validate({"retention": {"spool_days": 0.5}}).retention.limits
    assert (limits.delivered_s, limits.any_set) == (43_200, True)


def test_a_certificate_is_seen_from_the_file_that_names_it(tmp_path: Path) -> None:
    settings = load(written(tmp_path, "web: {certificate: c.pem, key: k.pem}\n"), {})
    assert settings.web.certificate == tmp_path / "c.pem"
    assert settings.web.key == tmp_path / "k.pem"


def test_the_files_of_tls_are_seen_from_the_file_that_names_them(tmp_path: Path) -> None:
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
    told = render_settings(Settings(web=WebSettings(users=users)))
    assert '"anna":"scrypt$***"' in told
    assert users["anna"] not in told


def test_the_authorization_of_an_archive_comes_from_the_environment_and_is_not_shown(
    tmp_path: Path,
) -> None:
    text = "archives: {vna: {kind: dicomweb, url: 'https://h/web', trusted: ca.pem}}"
    environment = {"TRIAGE_ARCHIVES__VNA__AUTHORIZATION": "Bearer hush"}
    settings = load(written(tmp_path, text), environment)
    vna = settings.archives["vna"]
    assert isinstance(vna, DicomwebArchive)
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
    ("changed", "says"),
    [
        ({"senders": {}}, "at least 1 item"),
        ({"senders": {"MR1": {}}}, "triage token"),
        ({"senders": {"MR1": {"token": "secret"}}}, "triage token"),
        ({"senders": {"MR1": {"certificates": ["mr1"]}}}, "set clients"),
        ({"host": "10.1.2.3"}, "read on the way"),
        ({"certificate": "c.pem"}, "given together"),
        ({"clients": "ca.pem"}, "needs certificate and key"),
    ],
)
def test_who_could_send_unseen_over_http_is_refused(changed: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        StowSettings.model_validate({**STOW, **changed})


def test_no_token_is_shown_and_paths_are_seen_from_the_file(tmp_path: Path) -> None:
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


def test_who_receives_over_http_or_from_a_folder_alone_needs_no_ae_titles() -> None:
    destination = {"name": "pacs", "ae_title": "PACS", "host": "h", "port": 104}
    for receiver in ({"stow": STOW}, {"folder": {"path": "in"}}):
        settings = {"receiver": receiver, "destinations": [destination]}
        require_peers(Settings.model_validate(settings))


def test_an_archive_whose_word_is_wanted_must_be_let_in(tmp_path: Path) -> None:
    text = (
        "destinations: [{name: a, ae_title: PACS, host: h, port: 104, commitment: true,"
        " commitment_from: [PACS2]}]\nreceiver: "
    )
    with pytest.raises(ConfigurationError, match="destination a .* add PACS2 to receiver.calling"):
        require_peers(load(written(tmp_path, f"{text}{{calling: [PACS]}}"), {}))
    peers = "peers: {b: {ae_titles: [PACS2]}}"
    require_peers(load(written(tmp_path, f"{text}{{calling: [PACS], {peers}}}"), {}))
