"""The audit trail of a running site at a real syslog server, which is away to begin with."""

import signal
import subprocess
from collections import Counter
from contextlib import suppress
from pathlib import Path

import httpx2
from lxml import etree
from pydicom import dcmread

from tests.acceptance.planted import PLANTED, STRANGER, planted
from tests.acceptance.site import CALLED, WORKERS, LiveSite, configure, serving, storescu
from tests.builders.audit_events import SCHEMA
from tests.integration.certificates import Authority
from tests.integration.command_line import run_triage
from tests.integration.servers import Orthanc
from tests.integration.syslog import SyslogRepository, rsyslog
from tests.peers import peer
from tests.waiting import HOST, listens, wait_until
from triage.audit.message import BOM
from triage.cli.demo_site import find_free_port
from triage.domain.study import State
from triage.web.passwords import hash_password

PASSWORD = "correct: horse"
STARTED = ("Application Activity", "Application Start", "0")
STOPPED = ("Application Activity", "Application Stop", "0")


def triage(site: LiveSite, *arguments: str) -> str:
    ended = run_triage(*arguments, config=site.config)
    return ended.stdout + ended.stderr


def waiting(site: LiveSite) -> list[bytes]:
    return [path.read_bytes() for path in sorted((site.state / "audit").glob("*.line"))]


def started(server: SyslogRepository) -> int:
    return sum(b'originalText="Application Start"' in line for line in server.lines())


def ended(server: SyslogRepository, site: LiveSite) -> int:
    lines = {*server.lines(), *waiting(site)}
    return sum(b'originalText="Application Stop"' in line for line in lines)


def look(port: int, password: str) -> int:
    return httpx2.get(f"http://{HOST}:{port}/", auth=("anna", password)).status_code


def read(line: bytes) -> etree._Element:
    root = etree.fromstring(line.partition(BOM)[2])
    SCHEMA.assertValid(root)
    return root


def outlined(root: etree._Element) -> tuple[str, str, str]:
    event = root.find("EventIdentification")
    kind = event.find("EventTypeCode")
    return (
        event.find("EventID").get("originalText"),
        "" if kind is None else kind.get("originalText"),
        event.get("EventOutcomeIndicator"),
    )


def told_of(root: etree._Element) -> list[str]:
    return outlined(root)[0].split()


def audited_site(
    folder: Path, pacs: Orthanc, server: SyslogRepository, authority: Authority, web: int
) -> LiveSite:
    """Return a site that reports to a repository, and sends to a PACS and a folder."""
    ours = authority.sign("triage")
    (folder / "reports").mkdir()
    return configure(
        folder / "site",
        pacs,
        web={"port": web, "users": {"anna": hash_password(PASSWORD)}},
        destinations=[
            {"name": "pacs", "ae_title": pacs.ae_title, "host": HOST, "port": pacs.dicom_port},
            {"name": "folder", "kind": "folder", "path": str(folder / "reports")},
        ],
        audit={
            "source": "triage-7",
            "syslog": {
                "host": HOST,
                "port": server.port,
                "trusted": str(authority.certificate),
                "certificate": str(ours.certificate),
                "key": str(ours.key),
            },
        },
    )


def use_every_part(site: LiveSite, files: list[Path], web: int) -> None:
    """Send a study, be rejected as a stranger, and log in, wrongly first."""
    assert storescu(site, files, "-xt").wait(300) == 0
    command = [peer("echoscu"), "-aet", STRANGER, "-aec", CALLED, HOST, str(site.port)]
    assert subprocess.run(command, capture_output=True, check=False).returncode
    wait_until(lambda: listens(web), 60, "the page")
    assert [look(web, said) for said in ("wrong", PASSWORD, PASSWORD)] == [401, 200, 200]
    assert site.wait_for_end().state is State.DELIVERED, site.log()


def start_repository(server: SyslogRepository, site: LiveSite) -> None:
    """Kill the receiver, which sends the messages, and start the repository for those that wait."""
    assert len(waiting(site)) >= 10
    assert f"{len(waiting(site))} audit message(s) wait" in triage(site, "status")
    assert "Connection refused; messages wait" in triage(site, "check")
    receiver = site.process("triage", "receive")
    receiver.send_signal(signal.SIGKILL)
    receiver.wait(60)
    server.start()
    wait_until(lambda: started(server) == WORKERS + 3 and not waiting(site), 300, "sending")
    assert "audit message(s) wait" not in triage(site, "status")
    assert "answers over TLSv1.3" in triage(site, "check")


def assert_each_event_once(messages: list[etree._Element], reports: int, exported: int) -> None:
    assert reports >= 1
    assert Counter(outlined(each) for each in messages) == {
        STARTED: 5,  # the receiver twice, the page, two workers
        STOPPED: 4,
        ("DICOM Instances Transferred", "", "0"): 1 + reports,
        ("Begin Transferring DICOM Instances", "", "0"): reports,
        ("Export", "", "0"): exported,
        ("Security Alert", "Node Authentication", "4"): 1,
        ("User Authentication", "Login", "4"): 1,
        ("User Authentication", "Login", "0"): 1,
    }
    times = [each[0].get("EventDateTime") for each in messages]
    assert times[:10] == sorted(times[:10])
    assert {each.find("AuditSourceIdentification").get("AuditSourceID") for each in messages} == {
        "triage-7"
    }


def assert_study_is_named(messages: list[etree._Element], files: list[Path]) -> None:
    """Compare study, patient and number of instances with those that were sent."""
    of_studies = [each for each in messages if {"Instances", "Export"} & {*told_of(each)}]
    study = str(dcmread(files[0]).StudyInstanceUID)
    for each in of_studies:
        ids = [thing.get("ParticipantObjectID") for thing in each[len(each) - 2 :]]
        assert ids == [study, PLANTED["PatientID"]]
    came = next(each for each in of_studies if outlined(each)[0] == "DICOM Instances Transferred")
    counts = [int(each.get("NumberOfInstances")) for each in came.iter("SOPClass")]
    assert counts == [len(files)]


def test_no_part_waits_for_the_audit_repository_and_all_messages_arrive(
    tmp_path: Path, pacs: Orthanc
) -> None:
    authority = Authority(tmp_path, "authority")
    web = find_free_port()
    with rsyslog(tmp_path / "rsyslog", authority, authority.sign("audit"), "x509/name") as server:
        server.kill()
        site = audited_site(tmp_path, pacs, server, authority, web)
        with serving(site):
            files = list(planted(tmp_path))
            use_every_part(site, files, web)
            start_repository(server, site)
        # The last messages may be in both places, or not yet written by rsyslog.
        with suppress(TimeoutError):  # the comparison below shows which one is missing
            wait_until(lambda: ended(server, site) == WORKERS + 2)
        lines = dict.fromkeys([*server.lines(), *waiting(site)])
        messages = [read(line) for line in lines]
    exported = len(list((tmp_path / "reports").rglob("*.dcm")))
    assert_each_event_once(messages, len(pacs.get("/instances")), exported)
    assert_study_is_named(messages, files)
    for secret in (*PLANTED.values(), PASSWORD):
        assert secret not in site.log()
