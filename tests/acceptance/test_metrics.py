"""The metrics of a running site contain no identity."""

import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from pydicom import dcmread
from pydicom.uid import UID

from tests.acceptance.planted import FILES, PLANTED, STRANGER, planted
from tests.acceptance.site import CALLED, CALLING, LiveSite, configure, serving, storescu
from tests.builders.images import image, part10
from tests.integration.servers import Orthanc
from tests.peers import peer
from tests.waiting import HOST, wait_until
from triage.cli.demo_site import find_free_port
from triage.domain.study import State

Samples = dict[tuple[str, ...], float]


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "fast"])
def site(
    tmp_path_factory: pytest.TempPathFactory, pacs: Orthanc, request: pytest.FixtureRequest
) -> Iterator[LiveSite]:
    folder = tmp_path_factory.mktemp("site")
    configured = configure(folder, pacs, metrics={"port": find_free_port()})
    content = yaml.safe_load(configured.config.read_text())
    content["receiver"]["fast"] = request.param
    configured.config.write_text(yaml.safe_dump(content))
    with serving(configured):
        yield configured


def scraped(site: LiveSite) -> str:
    port = yaml.safe_load(site.config.read_text())["metrics"]["port"]
    with urllib.request.urlopen(f"http://{HOST}:{port}/metrics") as answer:
        return bytes(answer.read()).decode()


def samples(text: str) -> Samples:
    """Return the values by name and label values."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def seen(site: LiveSite) -> Samples:
    return samples(scraped(site))


def test_the_metrics_count_every_event_and_contain_no_identity(
    site: LiveSite, tmp_path: Path
) -> None:
    files = list(planted(tmp_path))
    assert storescu(site, [*files, *files[:3]], "-xt").wait(300) == 0
    damaged = image("damaged", Rows=4000)
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(part10(damaged))
    assert storescu(site, [broken]).wait(300) != 0
    command = [peer("echoscu"), "-aet", STRANGER, "-aec", CALLED, HOST, str(site.port)]
    assert subprocess.run(command, capture_output=True, check=False).returncode
    assert site.wait_for_end().state is State.DELIVERED, site.log()
    wait_until(lambda: seen(site)["triage_studies", "DELIVERED"] == 1, what="the scrape")
    text = scraped(site)
    numbers = samples(text)
    sent = sum(path.stat().st_size for path in files)
    for name, value in (
        (("triage_instances_total", "new"), len(files)),
        (("triage_instances_total", "duplicate"), 3),
        (("triage_instances_total", "conflict"), 0),
        (("triage_instances_refused_total", "0xC000"), 1),
        (("triage_associations_accepted_total",), 2),
        (("triage_associations_rejected_total", "calling AE title, address or certificate"), 1),
        (("triage_associations_rejected_total", "too many associations"), 0),
        (("triage_receive_seconds_count",), len(files) + 3),
        (("triage_held_back", "free_bytes"), 0),
        (("triage_studies", "RECEIVING"), 0),
        (("triage_deliveries", "PENDING"), 0),
        (("triage_oldest_waiting_seconds",), 0),
        (("triage_queue_tasks", "assess"), 0),
        (("triage_ledger_up",), 1),
        (("triage_broker_up",), 1),
    ):
        assert numbers[name] == value, name
    assert numbers["triage_received_bytes_total",] == pytest.approx(1.06 * sent, rel=0.1)
    assert numbers["triage_deliveries", "DELIVERED"] >= 1
    assert numbers["triage_free_bytes",] > 1e9
    study = dcmread(FILES[0]).StudyInstanceUID
    for secret in (*PLANTED.values(), STRANGER, CALLING, HOST, study, "LANTED", "lanted"):
        assert secret not in text
    assert not any(UID(word).is_valid for word in text.split() if word.count(".") > 3)


def test_a_broker_that_does_not_answer_shows_as_such(site: LiveSite) -> None:
    redis = site.process("redis-server")
    redis.suspend()
    try:
        numbers = seen(site)
    finally:
        redis.resume()
    assert numbers["triage_broker_up",] == 0
    assert ("triage_queue_tasks", "assess") not in numbers
