"""Every registered destination, and the example of a new one in its README."""

import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from tests.builders import destination_documents as documents
from tests.builders.reportings import KINDS
from tests.waiting import HOST
from triage import destinations
from triage.config import DESTINATION_MODELS, DestinationSettings, Settings, load, require_peers
from triage.destinations import DESTINATIONS, MODULES, find_destinations
from triage.destinations.destination_type import DestinationType
from triage.domain.delivery import Product
from triage.domain.errors import DeliveryFailed, DestinationUnreachable
from triage.reports import REPORTS

README = Path(destinations.__file__).with_name("README.md")
SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"


def settings_of(destination: DestinationType) -> DestinationSettings:
    """Return the declared example as settings."""
    entry = yaml.safe_load(destination.example)
    (settings,) = Settings.model_validate({"destinations": [entry]}).destinations
    return settings


@pytest.fixture(scope="module")
def products() -> dict[str, Product]:
    """One product of every kind of report."""
    made = {kind: report.build(KINDS["usual"]()) for kind, report in REPORTS.items()}
    return {kind: product for kind, product in made.items() if product is not None}


@pytest.fixture(params=[*DESTINATIONS.values()], ids=[*DESTINATIONS])
def declared(request: pytest.FixtureRequest) -> DestinationType:
    destination: DestinationType = request.param
    return destination


def test_it_opens_from_its_example(declared: DestinationType, tmp_path: Path) -> None:
    (tmp_path / "hook.secret").write_text(SECRET)
    example = declared.example.replace("/etc/cmr-triage/", f"{tmp_path}/")
    settings = declared.settings.model_validate(yaml.safe_load(example))
    destination = declared.open("CMRTRIAGE", settings)
    assert destination.name == settings.name
    assert destination.media_types == declared.media_types


def test_its_example_has_every_setting_with_its_default(declared: DestinationType) -> None:
    settings = settings_of(declared)
    fields = declared.settings.model_fields
    required = {name for name, field in fields.items() if field.is_required()}
    chosen = settings.model_dump(include={*required, "kind", "secret_file", "tls"})
    assert settings == declared.settings(**chosen)
    commented = {*re.findall(r"^#?([a-z0-9_]+):", declared.example, re.MULTILINE)}
    assert commented == {*fields}


def test_it_takes_a_report(declared: DestinationType, products: dict[str, Product]) -> None:
    assert {product.media_type for product in products.values()} & {*declared.media_types}


def test_it_has_an_audit_peer(declared: DestinationType) -> None:
    peer = settings_of(declared).audit_peer()
    assert peer.name
    assert peer.address


def test_its_module_is_in_the_registry_once() -> None:
    assert len(DESTINATIONS) == len(MODULES)
    assert {*DESTINATIONS} <= {*DESTINATION_MODELS}


def test_the_example_settings_are_those_of_the_registry() -> None:
    text = documents.EXAMPLE.read_text(encoding="utf-8")
    (entries,) = documents.ENTRIES.findall(text)
    assert entries == documents.render_entries(DESTINATIONS.values()), (
        "run python -m tests.builders.destination_documents"
    )


def test_the_conformance_statement_has_a_row_for_each_destination() -> None:
    text = documents.STATEMENT.read_text(encoding="utf-8")
    (table,) = documents.find_marked("destinations").findall(text)
    assert table == documents.render_table(DESTINATIONS.values()), (
        "run python -m tests.builders.destination_documents"
    )


@pytest.fixture
def chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DestinationType]:
    """The example of the README, saved and registered as the README describes."""
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "chat.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(destinations, "__path__", [*destinations.__path__, str(tmp_path)])
    found = find_destinations((*MODULES, "chat"))
    monkeypatch.setitem(DESTINATION_MODELS, "chat", found["chat"].settings)
    yield found["chat"]
    del destinations.chat  # type: ignore[attr-defined]
    del sys.modules["triage.destinations.chat"]


@dataclass
class ChatChannel:
    """The lines posted to a chat service, and the status that it answers."""

    lines: list[str] = field(default_factory=list)
    status: int = 200


@contextmanager
def chat_service() -> Iterator[tuple[str, ChatChannel]]:
    """Yield the URL of an incoming webhook, and its channel."""
    channel = ChatChannel()

    class ChatHandler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if channel.status == 200:
                channel.lines.append(json.loads(body)["text"])
            self.send_response(channel.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer((HOST, 0), ChatHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://{HOST}:{server.server_port}/hooks/triage", channel
        server.shutdown()
        thread.join()


def test_the_example_of_a_new_destination_works(
    chat: DestinationType, products: dict[str, Product], tmp_path: Path
) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    with chat_service() as (url, posted):
        example = yaml.safe_load(text)["destinations"][1]["url"]
        (tmp_path / "triage.yaml").write_text(text.replace(example, url))
        settings = load(tmp_path / "triage.yaml", {})
        require_peers(settings)
        _, entry = settings.destinations
        destination = chat.open("CMRTRIAGE", entry)
        assert destination.deliver(products["summary"]).answer == "HTTP 200"
        assert destination.echo().answer == "it answers (HTTP 501)"
        posted.status = 500
        with pytest.raises(DeliveryFailed, match="answered HTTP 500"):
            destination.deliver(products["summary"])
    uid = json.loads(products["summary"].content)["study_instance_uid"]
    assert posted.lines == [f"Study {uid}: flagged Yes"]
    assert entry.audit_peer().address == url
    with pytest.raises(DestinationUnreachable):
        destination.echo()


def test_the_example_of_a_new_destination_appears_in_the_documents(chat: DestinationType) -> None:
    kinds = [*DESTINATIONS.values(), chat]
    assert "\n  #- name: chat\n" in documents.render_entries(kinds)
    assert "\n| `chat` | HTTP POST to an incoming webhook |" in documents.render_table(kinds)
