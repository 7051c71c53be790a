"""Nobody's identity leaves spool, ledger and products: the whole way, with every identifier marked.

Studies come over C-STORE, over STOW-RS and in a watched folder; some are damaged, some break their
worker, one destination is down, strangers call. Afterwards everything that was written elsewhere is
searched: logs of all processes, Redis and its files, numbers for Prometheus, temporary folders, and
the names of all files.
"""

import base64
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote

import pytest
import yaml
from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset
from requests import HTTPError as Refused

from receivers.stow.access import hash_token
from tests.acceptance.site import CALLED, LiveSite, configure, serving, storescu
from tests.acceptance.traces import PRIVATE, TraceWatch, named_in, watching
from tests.builders.images import image, part10, uid
from tests.builders.marked import DATES, found_in, mark, marks, word
from tests.builders.small_studies import small_study
from tests.integration.command_line import run_triage
from tests.integration.servers import Orthanc
from tests.peers import peer
from tests.waiting import HOST, listens, wait_until
from triage.cli.demo_site import find_free_port
from triage.domain.study import ENDED, State
from triage.runtime.model import DEMO_BUNDLE, DEMO_FINDINGS
from triage.web.passwords import hash_password

PASSWORD = "correct horse battery"
TOKEN = "of 32 random bytes"

pytestmark = pytest.mark.timeout(900)
PATIENT = word("PatientID")
ROWS = b"\x28\x00\x10\x00US\x02\x00"  #: the head of the element, explicit little endian
#: Loaded by every process of the site: as long as the file is there, every task breaks, with words
#: such as a parser's.
BREAKS = f"""
import os
from pathlib import Path

from triage import crash_points as steps

def broken(moment):
    if moment.name in ("READ", "PRODUCT_SENT") and Path(os.environ["BREAKS"]).exists():
        try:
            int("{word("PatientName")}")
        except ValueError as error:
            raise RuntimeError("not readable: {word("PatientComments")}") from error

steps.watch(broken)
"""


@dataclass
class Lived:
    """A site that has lived through everything, and what was seen meanwhile."""

    site: LiveSite
    watch: TraceWatch
    numbers: str  #: for Prometheus
    told: str  #: by commands and the page, to who asked
    complained: str  #: by commands, on stderr
    temporary: Path


@pytest.fixture(scope="module")
def lived(pacs: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    folder = tmp_path_factory.mktemp("private")
    site, ports = _site(folder / "site", pacs)
    temporary, hook = folder / "temporary", folder / "hook"
    for each in (temporary, hook, site.folder / "incoming"):
        each.mkdir(mode=0o700)
    (hook / "sitecustomize.py").write_text(BREAKS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        patch.setenv("BREAKS", str(folder / "break"))
        patch.setenv("PYTHONPATH", str(hook), prepend=os.pathsep)
        site.state.mkdir(mode=0o700)
        with watching(site, temporary) as watch, serving(site):
            _bring_whole_studies(site, folder, ports["stow"])
            _bring_damaged_instances(site, folder)
            _bring_strangers(site, folder)
            _break_workers(site, folder)
            said = _ask(site, ports["web"])
            numbers = urllib.request.urlopen(f"http://{HOST}:{ports['metrics']}/metrics").read()
        yield Lived(site, watch, numbers.decode(), *said, temporary)


def _site(folder: Path, pacs: Orthanc) -> tuple[LiveSite, dict[str, int]]:
    ports = {name: find_free_port() for name in ("stow", "web", "metrics")}
    site = configure(
        folder,
        pacs,
        model={"bundle": str(DEMO_BUNDLE)},
        findings=str(DEMO_FINDINGS),
        reports=["structured_report", "key_images", "pdf", "secondary_capture"],
        worker={"lease_s": 3, "max_attempts": 2, "max_delivery_attempts": 1},
        web={"port": ports["web"], "users": {"anna": hash_password(PASSWORD)}},
        metrics={"port": ports["metrics"]},
    )
    content = yaml.safe_load(site.config.read_text())
    down = {"name": "down", "ae_title": "DOWN", "host": HOST, "port": find_free_port()}
    content["destinations"].append(down)
    content["receiver"] |= {
        "stow": {"port": ports["stow"], "senders": {"MR1": {"token": hash_token(TOKEN)}}},
        "folder": {"path": "incoming", "settle_s": 1, "every_s": 0.5, "after": "move"},
    }
    site.config.write_text(yaml.safe_dump(content))
    return site, ports


def _bring_whole_studies(site: LiveSite, folder: Path, stow: int) -> None:
    """One over C-STORE, one over STOW-RS, one in a folder with names that people give."""
    assert storescu(site, _written(1, folder / "sent")).wait(300) == 0
    _ended(site, 1)
    wait_until(lambda: listens(stow), what="STOW-RS")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    client = DICOMwebClient(f"http://{HOST}:{stow}", headers=headers)
    client.store_instances(_marked(2))
    _ended(site, 2)
    named = f"{word('PatientName')}^{DATES['PatientBirthDate']}"
    dropped = _written(3, folder / named, f"{PATIENT}_")[0].parent
    (dropped / f"{PATIENT}.txt").write_text(f"of {word('PatientName')}")
    dropped.rename(site.folder / "incoming" / named)
    _ended(site, 3)


def _bring_damaged_instances(site: LiveSite, folder: Path) -> None:
    """Every value that a parser cannot read contains a name."""
    said = word("PatientName")
    coded = mark(image("characters", SpecificCharacterSet="ISO 2022 IR 100"))
    bent = {
        "short.dcm": part10(mark(image("short", Rows=4000))),
        "cut.dcm": part10(mark(image("cut")))[:-300],
        "in_a_name.dcm": (whole := part10(mark(image("in a name"))))[: whole.index(b"ZQ") + 4],
        "no_uid.dcm": part10(mark(image("no uid"))).replace(
            uid("no uid").encode(), said.ljust(len(uid("no uid")), "^").encode()
        ),
        "no_number.dcm": _with(part10(mark(image("numbers"))), ROWS, b"ZQ"),
        "no_characters.dcm": part10(coded).replace(b"ISO 2022 IR 100 ", said.ljust(16).encode()),
        "no_dicom.dcm": f"{said} was here".encode(),
    }
    for name, content in bent.items():
        (folder / name).write_bytes(content)
        storescu(site, [folder / name], "-xi").wait(300)
        (site.folder / "incoming" / f"{said}_{name}").write_bytes(content)
        with suppress(Refused, OSError, AttributeError):
            _raw_stow(site, content)
    other = part10(mark(image("conflict", ImageComments="other bytes under the same UID")))
    for content in (part10(mark(image("conflict"))), other[:-2] + b"!!"):
        (folder / "conflict.dcm").write_bytes(content)
        assert storescu(site, [folder / "conflict.dcm"]).wait(300) == 0
    wait_until(lambda: all(each.state in ENDED for each in site.studies()), 120, "their ends")


def _bring_strangers(site: LiveSite, folder: Path) -> None:
    """A sender that is not configured tries to send."""
    command = [peer("storescu"), "-aet", "STRANGER", "-aec", CALLED, HOST, str(site.port)]
    (folder / "stranger.dcm").write_bytes(part10(mark(image("stranger"))))
    command.append(str(folder / "stranger.dcm"))
    assert subprocess.run(command, capture_output=True, check=False).returncode


def _break_workers(site: LiveSite, folder: Path) -> None:
    """Every attempt to assess or to deliver ends with an unexpected error."""
    (folder / "break").touch()
    before = len(site.studies())
    assert storescu(site, _written(4, folder / "breaks")).wait(300) == 0
    _ended(site, before + 1)
    assert site.studies()[-1].state is State.FAILED
    (folder / "break").unlink()
    _said(site, "replay", site.studies()[-1].study_uid)
    wait_until(lambda: all(each.state in ENDED for each in site.studies()), 120, "their ends")


def _ask(site: LiveSite, web: int) -> tuple[str, str]:
    """Run every query; returns the answers and the text on stderr."""
    uids = [study.study_uid for study in site.studies()]
    first = uids[0]
    asked = [
        ("status",),
        *(("status", uid) for uid in (first, uids[-1])),
        ("status", "--json"),
        ("status", "--looks", "10"),
        ("search", f"of {word('PatientName')}"),
        ("search", "--like", first, "--json"),
        ("case", "AAAA-AAAA", "--report", first),
        ("index", str(site.folder / "incoming" / "taken")),
        ("index", "--spool"),
        ("check",),
    ]
    said = [_said(site, *arguments) for arguments in asked]
    pages = [_page(web, f"/?words={quote(word('PatientName'))}&like={first}")]
    pages += [_page(web, f"/api/cases?words={quote(word('PatientName'))}")]
    pages += [_page(web, f"/case?key={PATIENT}&report={PATIENT}"), _page(web, f"/{PATIENT}")]
    said += [_said(site, "forget", PATIENT, "--issuer", word("IssuerOfPatientID"))]
    out, err = ("".join(each) for each in zip(*said, strict=True))
    shown = "".join(pages)
    for typed in (word("PatientName"), PATIENT):  # a page repeats what was asked
        shown = shown.replace(typed, "")
    return out + shown, err


def _page(port: int, path: str) -> str:
    coded = base64.b64encode(f"anna:{PASSWORD}".encode()).decode()
    request = urllib.request.Request(
        f"http://{HOST}:{port}{path}", headers={"Authorization": f"Basic {coded}"}
    )
    try:
        return bytes(urllib.request.urlopen(request).read()).decode()  # noqa: S310
    except HTTPError as error:
        return bytes(error.read()).decode()


def _said(site: LiveSite, *arguments: str) -> tuple[str, str]:
    done = run_triage(*arguments, config=site.config)
    return done.stdout, done.stderr


def _raw_stow(site: LiveSite, content: bytes) -> None:
    """Send bytes that no client would make a data set of."""
    port = yaml.safe_load(site.config.read_text())["receiver"]["stow"]["port"]
    head = b"--x\r\nContent-Type: application/dicom\r\n\r\n"
    kind = 'multipart/related; type="application/dicom"; boundary=x'
    urllib.request.urlopen(
        urllib.request.Request(
            f"http://{HOST}:{port}/studies/{PATIENT}",
            data=head + content + b"\r\n--x--\r\n",
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": kind},
        )
    ).close()


def _ended(site: LiveSite, count: int) -> None:
    wait_until(
        lambda: (
            len(found := site.studies()) >= count and all(each.state in ENDED for each in found)
        ),
        120,
        f"the end of {count} studies",
    )


def _marked(number: int) -> list[Dataset]:
    made = [mark(dataset) for dataset in small_study(number).datasets()]
    for dataset in made:  # the SeriesDescription identifies the type of a series, so it stays
        dataset.SeriesDescription += f" {word('SeriesDescription')}"
    return made


def _written(number: int, folder: Path, prefix: str = "") -> list[Path]:
    folder.mkdir()
    for place, dataset in enumerate(_marked(number)):
        dataset.save_as(folder / f"{prefix}{place}.dcm")
    return sorted(folder.iterdir())


def _with(content: bytes, before: bytes, value: bytes) -> bytes:
    """Return a file with another value behind the head of an element."""
    at = content.index(before) + len(before)
    return content[:at] + value + content[at + len(value) :]


# -- what was seen


def test_the_search_finds_what_it_looks_for(lived: Lived) -> None:
    """Spool and ledger contain every identifier, so the search works."""
    state = lived.site.state
    spooled = next((state / "spool").glob("*.1000000001/*.dcm"))
    assert {*found_in(spooled.read_bytes())} == {*marks()}
    ledger = [path.read_bytes() for path in state.glob("ledger.sqlite*")]
    assert {"PatientName", "PatientID", "AccessionNumber"} <= {*found_in(b"".join(ledger))}
    assert any((state / "quarantine").iterdir())


def test_everything_happened(lived: Lived) -> None:
    """Or nothing could have been written about it."""
    log = lived.site.log()
    for said in (
        '"refused instance"',
        '"conflicting instance"',
        '"rejected association"',
        '"task failed"',
        '"RuntimeError"',
        '"delivery given up"',
        '"declined"',
        '"assessed"',
        '"files accepted from the watched folder"',
    ):
        assert said in log, said
    assert "nearest case(s)" in lived.told
    assert "case(s) removed" in lived.told
    assert "triage_instances_total" in lived.numbers
    assert lived.watch.looks > 50


def test_no_log_names_anybody(lived: Lived) -> None:
    assert [*found_in(lived.site.log().encode())] == []
    assert [*found_in(lived.complained.encode())] == []


def test_no_number_and_no_answer_names_anybody(lived: Lived) -> None:
    """But for the name of a series, an accession number, and the text of the error of a study.

    `triage status` shows these from the ledger, to a user with access to the ledger.
    """
    assert [*found_in(lived.numbers.encode())] == []
    assert {*found_in(lived.told.encode())} <= {
        "AccessionNumber",
        "SeriesDescription",
        "PatientComments",
    }


def test_nothing_outside_spool_and_ledger_names_anybody(lived: Lived) -> None:
    """Among it Redis's files, which hold every task there was, and the past cases' vectors."""
    assert (lived.site.state / "redis" / "appendonlydir").is_dir()
    assert named_in(lived.site.state, but=PRIVATE) == {}
    assert named_in(lived.temporary) == {}


def test_at_no_moment_was_anything_readable_by_others_or_named_after_anybody(lived: Lived) -> None:
    assert lived.watch.wrong == set()
