import json
import re
from typing import Any

import pytest
import yaml

from tests.unit.deploy.files import DEPLOY, PROJECT, text, understand
from triage.config import Settings, load, require_peers
from triage.destinations.dicom_store import DicomDestinationSettings
from triage.runtime.http_endpoint import READY
from triage.runtime.supervisor import END_S

WORKERS = ("receive", "assess", "deliver")


@pytest.fixture
def compose() -> Any:
    return yaml.safe_load(text("compose.yaml"))


@pytest.fixture
def settings() -> Settings:
    return load(DEPLOY / "compose.triage.yaml", {})


@pytest.fixture
def orthanc() -> Any:
    return json.loads(text("orthanc.json"))


def containerfile() -> list[tuple[str, str]]:
    """Return the instructions with their arguments, in order."""
    joined = re.sub(
        r"\\\n\s*", "", re.sub(r"^#.*\n", "", text("Containerfile"), flags=re.MULTILINE)
    )
    lines = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(name, arguments) for name, arguments in lines]


def argument_of(instruction: str) -> str:
    """Return the argument of the last such instruction, the one that holds in the image."""
    return [arguments for name, arguments in containerfile() if name == instruction][-1]


def environment_of_image() -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in argument_of("ENV").split())


# -- compose.yaml


def test_every_worker_runs_a_command_that_there_is(compose: Any) -> None:
    commands = {name: compose["services"][name]["command"] for name in WORKERS}
    for command in commands.values():
        understand(command)
    assert commands["receive"] == ["receive"]
    assert commands["assess"] == ["work", "--queue", "assess"]
    assert commands["deliver"] == ["work", "--queue", "deliver"]


def test_ports_are_published_on_loopback_alone(compose: Any) -> None:
    published = [p for each in compose["services"].values() for p in each.get("ports", [])]
    assert len(published) == 3
    for port in published:
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)
    assert not any("network_mode" in each for each in compose["services"].values())


def test_what_is_mounted_is_there(compose: Any) -> None:
    for each in compose["services"].values():
        for mount in each.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).is_file()
                assert mount.endswith(":ro")
            else:
                assert source in compose["volumes"]


def test_images_are_pinned(compose: Any) -> None:
    for each in compose["services"].values():
        _name, tag = each["image"].rsplit(":", 1)
        assert tag == "local" or tag[0].isdigit()


def test_who_waits_for_whom_can_be_healthy(compose: Any) -> None:
    services = compose["services"]
    for each in services.values():
        for name, wanted in each.get("depends_on", {}).items():
            assert wanted == {"condition": "service_healthy"}
            assert "healthcheck" in services[name]


def test_those_who_talk_share_a_network(compose: Any) -> None:
    networks = {name: set(each["networks"]) for name, each in compose["services"].items()}
    for name in WORKERS:
        assert networks[name] & networks["redis"]
    for name in ("receive", "deliver"):
        assert networks[name] & networks["orthanc"]
    assert not networks["orthanc"] & networks["redis"]


def test_workers_are_shut_in_and_have_time_to_end(compose: Any) -> None:
    for name in WORKERS:
        worker = compose["services"][name]
        assert worker["read_only"]
        assert worker["cap_drop"] == ["ALL"]
        assert worker["security_opt"] == ["no-new-privileges:true"]
        assert float(worker["stop_grace_period"].removesuffix("s")) >= END_S


def test_every_container_has_a_bound_of_memory_processes_and_descriptors(compose: Any) -> None:
    for name, each in compose["services"].items():
        assert re.fullmatch(r"\d+[mg]", each["mem_limit"]), name
        assert 0 < each["pids_limit"] <= 1024, name
        files = each["ulimits"]["nofile"]
        assert 1024 < files["soft"] <= files["hard"] <= 65536, name


def test_the_build_finds_its_files(compose: Any) -> None:
    for name in WORKERS:
        build = compose["services"][name]["build"]
        context = (DEPLOY / build["context"]).resolve()
        assert context == PROJECT
        assert (context / build["dockerfile"]).is_file()


# -- the settings and the PACS


def test_the_settings_can_be_used_as_they_are(settings: Settings) -> None:
    require_peers(settings)


def test_worker_and_pacs_know_each_other(settings: Settings, orthanc: Any, compose: Any) -> None:
    (pacs,) = settings.destinations
    assert isinstance(pacs, DicomDestinationSettings)
    assert (pacs.ae_title, pacs.port) == (orthanc["DicomAet"], orthanc["DicomPort"])
    assert pacs.host in compose["services"]
    assert settings.receiver.calling == (orthanc["DicomAet"],)
    ours = [settings.receiver.ae_title, "receive", settings.receiver.port]
    assert orthanc["DicomModalities"] == {"triage": ours}


def test_published_ports_are_those_that_listen(
    settings: Settings, orthanc: Any, compose: Any
) -> None:
    inside = {
        name: {int(port.rsplit(":", 1)[1]) for port in each.get("ports", [])}
        for name, each in compose["services"].items()
    }
    assert inside["receive"] == {settings.receiver.port}
    assert inside["orthanc"] == {orthanc["DicomPort"], orthanc["HttpPort"]}
    assert settings.receiver.host == "0.0.0.0"  # noqa: S104 - of the container
    probe = compose["services"]["receive"]["healthcheck"]["test"][-1]
    assert f":{settings.metrics.port}{READY}" in probe


def test_every_service_has_a_health_check(compose: Any) -> None:
    checks = {name: each["healthcheck"]["test"] for name, each in compose["services"].items()}
    for name in ("assess", "deliver"):
        program, *arguments = checks[name][1:]
        assert program == "triage"
        understand(arguments)


def test_the_pacs_has_no_password_that_everybody_knows(orthanc: Any, compose: Any) -> None:
    assert orthanc["AuthenticationEnabled"]
    (password,) = orthanc["RegisteredUsers"].values()
    name = re.fullmatch(r"\$\{(\w+)\}", password)
    assert name
    given = compose["services"]["orthanc"]["environment"][name[1]]
    assert given.startswith(f"${{{name[1]}:?")


def test_the_broker_is_the_one_of_the_settings(settings: Settings, compose: Any) -> None:
    assert settings.redis_url == "redis://redis:6379/0"
    assert "redis" in compose["services"]


def test_state_and_settings_lie_where_all_expect_them(settings: Settings, compose: Any) -> None:
    environment = environment_of_image()
    mounts = [
        f"state:{environment['TRIAGE_STATE_DIR']}",
        f"./compose.triage.yaml:{environment['TRIAGE_CONFIG']}:ro",
    ]
    for name in WORKERS:
        assert compose["services"][name]["volumes"] == mounts
    assert str(settings.state_dir) == environment["TRIAGE_STATE_DIR"] == argument_of("VOLUME")


# -- Containerfile


def test_the_image_is_made_from_files_that_are_there() -> None:
    allowed = {
        line.removeprefix("!")
        for line in text("Containerfile.dockerignore").splitlines()
        if line.startswith("!")
    }
    copies = [arguments.split() for name, arguments in containerfile() if name == "COPY"]
    sources = {s for copy in copies if "--from=build" not in copy for s in copy[:-1]}
    assert sources == allowed
    assert all((PROJECT / source).exists() for source in sources)


def test_the_image_runs_a_command_that_there_is_and_not_as_root() -> None:
    assert json.loads(argument_of("ENTRYPOINT")) == ["triage"]
    understand(json.loads(argument_of("CMD")))
    assert argument_of("USER") == "10001:10001"
    names = [name for name, _ in containerfile()]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert int(argument_of("EXPOSE")) == load(None, {}).receiver.port


def test_the_image_has_neither_torch_nor_a_health_check_of_its_own() -> None:
    steps = " ".join(arguments for name, arguments in containerfile() if name == "RUN")
    assert "pip install --no-cache-dir --require-hashes -r deploy/requirements.lock" in steps
    assert "--no-deps --no-build-isolation ." in steps  # nothing that the lock does not name
    assert "export]" not in steps
    assert "HEALTHCHECK" not in {name for name, _ in containerfile()}
