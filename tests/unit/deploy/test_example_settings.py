import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from tests.unit.deploy.files import DEPLOY, text
from triage.config import (
    AuditSettings,
    AuditSyslogSettings,
    DestinationSettings,
    DicomArchiveSettings,
    DicomwebArchiveSettings,
    MoveToSettings,
    ReceiverSettings,
    Settings,
    load,
    require_peers,
)
from triage.destinations import DESTINATIONS
from triage.destinations.dicom_store import DicomDestinationSettings
from triage.domain.delivery import backoff_s, jitter_s

EXAMPLE = DEPLOY / "triage.yaml"
#: A setting whose default cannot be written down stands as "#name:"; prose as "# words".
SWITCHED_OFF = re.compile(r"^( *)#(?=(?:- )?[a-z0-9_]+:)", re.MULTILINE)
KEY = re.compile(r"^ *(- )?[a-z0-9_]+:")
#: Whose keys are names that a site gives.
NAMED_BY_THE_SITE = {"receiver.peers", "receiver.stow.senders", "receiver.hl7.senders", "archives"}


def everything_on() -> str:
    return SWITCHED_OFF.sub(r"\1", text("triage.yaml"))


def fields_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        for part in models_in(field.annotation):
            yield from fields_of(part, f"{prefix}{name}.")


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if annotation is DestinationSettings:
        yield from (destination.settings for destination in DESTINATIONS.values())
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def keys_of(content: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(content, list):
        for item in content:
            yield from keys_of(item, prefix)
    elif isinstance(content, dict):
        for name, value in content.items():
            yield prefix + name
            below = value
            if prefix + name in NAMED_BY_THE_SITE:
                below = {key: each for entry in value.values() for key, each in entry.items()}
            yield from keys_of(below, f"{prefix}{name}.")


def test_the_example_names_every_setting_and_no_other() -> None:
    named = {*keys_of(yaml.safe_load(everything_on()))}
    assert named == {*fields_of(Settings)}  # what kinds have in common stands there more than once


def test_the_example_can_be_used_as_it_is() -> None:
    require_peers(load(EXAMPLE, {}))


def test_but_for_its_peers_the_example_says_the_defaults() -> None:
    settings = load(EXAMPLE, {})
    receiver = settings.receiver.model_copy(update={"calling": ()})
    alone = settings.model_copy(update={"receiver": receiver, "destinations": ()})
    assert alone == load(None, {})
    (pacs,) = settings.destinations
    required = {
        name for name, f in DicomDestinationSettings.model_fields.items() if f.is_required()
    }
    assert pacs == DicomDestinationSettings(**pacs.model_dump(include=required))


def test_what_is_switched_off_is_no_more_than_what_has_no_default_to_show() -> None:
    on = set(keys_of(yaml.safe_load(everything_on())))
    off = on - set(keys_of(yaml.safe_load(text("triage.yaml"))))
    optional = (
        "receiver.tls",
        "receiver.peers",
        "receiver.complete.ask",
        "receiver.complete.sources",
        "receiver.commitment",
        "archives",
        "destinations",
        "receiver.stow",
        "receiver.folder",
        "receiver.hl7",
        "audit",
    )
    assert {each for each in off if not each.startswith(optional)} == {"findings", "model.bundle"}


def test_the_example_can_be_used_with_everything_on() -> None:
    switched_on = yaml.safe_load(everything_on())["receiver"]
    switched_on["tls"]["clients"] = "ca.pem"  # for which its peer has a certificate
    receiver = ReceiverSettings.model_validate(switched_on)
    assert receiver.calling_titles() == ("PACS", "MR1", "MR1_STORE")


def test_its_destinations_are_one_of_each_kind_and_say_the_defaults() -> None:
    switched_on = yaml.safe_load(everything_on())["destinations"]
    settings = Settings.model_validate({"destinations": switched_on})
    assert [each.kind for each in settings.destinations] == [*DESTINATIONS]
    for each in settings.destinations:
        assert {*each.model_fields_set} == {*type(each).model_fields}
        required = {name for name, f in type(each).model_fields.items() if f.is_required()}
        needed = {*required, "kind", "secret_file", "tls"}
        assert each == type(each)(**each.model_dump(include=needed))


def test_its_archives_say_the_defaults_where_there_are_some() -> None:
    switched_on = yaml.safe_load(everything_on())
    pacs, vna = Settings.model_validate({"archives": switched_on["archives"]}).archives.values()
    assert isinstance(pacs, DicomArchiveSettings)
    assert pacs.hours == "22:00-06:00"
    required = pacs.model_dump(include={"kind", "ae_title", "host", "port"})
    usual = DicomArchiveSettings(**required, hours=pacs.hours, move_to=MoveToSettings())
    assert pacs == usual
    assert isinstance(vna, DicomwebArchiveSettings)
    assert vna == DicomwebArchiveSettings(kind="dicomweb", url=vna.url)
    assert DicomArchiveSettings(**required).move_to is None
    assert DicomArchiveSettings(**required).hours is None


def test_every_setting_is_explained_right_above_it() -> None:
    lines = everything_on().splitlines()
    for above, line in pairwise(lines):
        if KEY.match(line):
            assert above.lstrip().startswith("# "), line


def test_overrides_that_the_example_shows_work() -> None:
    shown = re.findall(r"^# +(TRIAGE_[A-Z_]+)=(.+)$", text("triage.yaml"), re.MULTILINE)
    environment = {name: value.strip("'") for name, value in shown}
    settings = load(EXAMPLE, environment)
    assert settings.receiver.port == 11113
    assert settings.receiver.calling == ("PACS", "MR1")
    (pacs,) = settings.destinations
    assert isinstance(pacs, DicomDestinationSettings)
    assert pacs.host == "10.1.2.3"


def test_how_long_a_silent_pacs_is_outlasted() -> None:
    attempts = load(None, {}).worker.max_delivery_attempts
    minutes = sum(backoff_s(n) for n in range(1, attempts)) / 60
    told = f"{attempts} tries outlast a PACS that is down for"
    told = f"{told} {jitter_s(minutes, 1):.0f} to {minutes:.0f} minutes"
    assert told in re.sub(r"\s+#\s+", " ", text("triage.yaml"))
    assert 24 <= sum(backoff_s(n) for n in range(1, 300)) / 3600 < 25


def test_its_audit_says_the_defaults_once_one_way_is_named() -> None:
    shown = yaml.safe_load(everything_on())["audit"]
    with pytest.raises(ValidationError, match="set either file or syslog"):
        AuditSettings.model_validate({**shown, "file": "audit.log"})
    over_syslog = AuditSettings.model_validate(shown)
    assert over_syslog.syslog is not None
    assert over_syslog == AuditSettings(syslog=AuditSyslogSettings(host=over_syslog.syslog.host))
