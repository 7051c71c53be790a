"""The page and interface for past cases, as a site runs them: a real process, a real browser."""

import base64
import json
import os
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import numpy as np
import pytest
import yaml
from pydicom import Dataset

from tests.acceptance.site import configure, serving
from tests.integration.command_line import run_triage
from tests.integration.servers import Orthanc
from tests.peers import peer
from tests.waiting import HOST, listens, wait_until
from triage.cases.keys import case_key, patient_key
from triage.cases.past_cases import PastCases
from triage.cli.demo_site import find_free_port
from triage.config import load
from triage.domain.case import Case
from triage.findings.loader import load_findings
from triage.model.bundle import open_bundle
from triage.model.encoder import OnnxEncoder
from triage.runtime.clock import SystemClock
from triage.runtime.model import DEMO_BUNDLE, DEMO_FINDINGS
from triage.runtime.storage import open_past_cases
from triage.store.ledger import SqlLedger
from triage.web.login_throttle import FREE
from triage.web.passwords import hash_password

COUNT = 200
NUMBER = "HIDDEN-4711"  #: Patient ID of the first case
PASSWORDS = {"anna": "correct horse battery", "ben": "staple, incorrect"}
FINDINGS = load_findings(DEMO_FINDINGS).findings
REPORT = "1.2.3.4"
WORDS = "Left ventricle is dilated"


@dataclass
class Pages:
    """A running `triage web`, the library behind it, and its log."""

    folder: Path
    port: int
    past: PastCases
    scheme: str = "http"

    @property
    def config(self) -> Path:
        return self.folder / "triage.yaml"

    def ask(self, path: str, user: str = "anna", password: str = "") -> tuple[int, str]:
        said = f"{user}:{password or PASSWORDS[user]}"
        coded = base64.b64encode(said.encode()).decode()
        url = f"{self.scheme}://{HOST}:{self.port}{path}"
        request = Request(url, headers={"Authorization": f"Basic {coded}"})  # noqa: S310
        context = None
        if self.scheme == "https":
            context = ssl.create_default_context(cafile=self.folder / "site.pem")
        try:
            with urlopen(request, context=context) as answer:  # noqa: S310
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    def json(self, path: str, user: str = "anna") -> Any:
        status, text = self.ask(path, user)
        assert status == 200, text
        return json.loads(text)

    def seen(self, path: str) -> str:
        """Return what a browser makes of a page."""
        user, password = next(iter(PASSWORDS.items()))
        profile = f"--user-data-dir={self.folder / 'browser'}"
        url = f"{self.scheme}://{user}:{quote(password)}@{HOST}:{self.port}{path}"
        options = ("--headless", "--no-sandbox", "--disable-gpu", profile, "--dump-dom", url)
        made = subprocess.run(
            [peer("chromium"), *options], capture_output=True, text=True, check=True, timeout=120
        )
        return made.stdout

    def kept(self) -> list[tuple[str, str, str]]:
        ledger = SqlLedger.in_folder(self.folder / "state", SystemClock())
        try:
            return [(each.kind, each.detail, each.address) for each in ledger.incidents(1000)]
        finally:
            ledger.close()

    def log(self) -> str:
        return (self.folder / "web.log").read_text()


def filled(folder: Path, port: int, **web: object) -> Pages:
    """Write a site's settings and 200 cases, each near to the prompts of one finding."""
    content = {
        "state_dir": "state",
        "model": {"bundle": str(DEMO_BUNDLE)},
        "findings": str(DEMO_FINDINGS),
        "web": {
            "port": port,
            "users": {name: hash_password(password) for name, password in PASSWORDS.items()},
            **web,
        },
    }
    (folder / "triage.yaml").write_text(yaml.safe_dump(content))
    settings = load(folder / "triage.yaml", {})
    settings.state_dir.mkdir()
    SqlLedger.in_folder(settings.state_dir, SystemClock()).close()
    bundle = open_bundle(DEMO_BUNDLE)
    past, encoder = open_past_cases(settings, bundle), OnnxEncoder(bundle, "cpu")
    words = [encoder.encode_text(finding.prompts[0]) for finding in FINDINGS]
    drawn = np.random.default_rng(0)
    for number in range(COUNT):
        finding = number % len(FINDINGS)
        vector = words[finding] + drawn.normal(0, 0.02, words[0].size).astype(np.float32)
        header = Dataset()
        header.PatientID, header.StudyInstanceUID = NUMBER if number == 0 else f"{number}", ""
        patient, flagged = patient_key(past.secret, header), (FINDINGS[finding].id,)
        case = Case(f"1.2.{number}", patient, "20240131", "siemens", ("cine_sa",), flagged)
        past.library.add(case, vector / np.linalg.norm(vector))
    return Pages(folder, port, past)


@contextmanager
def answering(pages: Pages) -> Iterator[Pages]:
    """Run `triage web` until the block ends."""
    command = [sys.executable, "-m", "triage", "--config", str(pages.config), "web"]
    with (pages.folder / "web.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ})
        try:
            wait_until(lambda: listens(pages.port) or process.poll() is not None, what="web")
            assert process.poll() is None, pages.log()
            yield pages
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    with answering(filled(tmp_path_factory.mktemp("site"), find_free_port())) as running:
        yield running


def test_words_find_their_cases_over_http_quickly(pages: Pages) -> None:
    found = pages.json(f"/api/cases?words={quote(WORDS)}&count=20")
    assert {each["flagged"][0] for each in found} == {"lv_dilation"}
    seconds = []
    for _ in range(40):
        began = time.perf_counter()
        pages.json(f"/api/cases?words={quote(WORDS)}")
        seconds.append(time.perf_counter() - began)
    print(f"median {statistics.median(seconds) * 1000:.1f} ms over {COUNT} cases")
    assert statistics.median(seconds) < 0.5


def test_the_api_gives_the_same_cases_as_the_command_line(pages: Pages) -> None:
    said = run_triage("search", WORDS, "--like", "1.2.7", "--json", config=pages.config)
    assert json.loads(said.stdout) == pages.json(f"/api/cases?words={quote(WORDS)}&like=1.2.7")


def test_a_browser_shows_the_cases_and_resolves_the_key_of_a_report(pages: Pages) -> None:
    shown = pages.seen(f"/?words={quote(WORDS)}&count=5")
    assert "5 nearest cases" in shown
    assert shown.count("cases similar to 1.2.") == 5
    key = case_key(pages.past.secret, REPORT, "1.2.9")
    assert f"{key}" in pages.seen(f"/case?key={key}&report={REPORT}")
    assert "has no similar case" in pages.seen(f"/case?key={key}&report=1.2.3.5")


def test_every_access_of_every_user_is_logged_without_the_typed_text(pages: Pages) -> None:
    before = len(pages.kept())
    pages.json("/api/cases?words=Hidden+Name&vendor=siem", "anna")
    pages.json("/api/cases/1.2.7", "ben")
    key = case_key(pages.past.secret, REPORT, "1.2.9")
    pages.json(f"/api/case-keys/{key}?report={REPORT}", "ben")
    kept = pages.kept()
    assert kept[: len(kept) - before] == [
        ("case looked up", f"{key} of the report on {REPORT}", "user ben"),
        ("case looked up", "study 1.2.7", "user ben"),
        ("cases searched", "10 case(s) listed, by words, of a vendor", "user anna"),
    ]
    told = pages.log() + str(kept)
    assert not any(said in told for said in ("Hidden", WORDS, *PASSWORDS.values()))


def test_the_key_of_a_forgotten_patient_no_longer_resolves(pages: Pages) -> None:
    key = case_key(pages.past.secret, REPORT, "1.2.0")
    assert pages.json(f"/api/case-keys/{key}?report={REPORT}")["study_uid"] == "1.2.0"
    assert "1 case(s)" in run_triage("forget", NUMBER, config=pages.config).stdout
    assert pages.ask(f"/api/case-keys/{key}?report={REPORT}")[0] == 404
    assert pages.ask("/api/cases/1.2.0")[0] == 404


def test_a_wrong_password_shows_nothing_and_guessing_is_delayed(pages: Pages) -> None:
    answers = [pages.ask("/", "ben", f"guess {number}") for number in range(FREE + 4)]
    assert [status for status, _ in answers] == [401] * (FREE + 1) + [429] * 3
    assert not any("1.2." in text for _, text in answers)
    assert pages.ask("/", "anna")[0] == 200
    wait_until(lambda: pages.ask("/", "ben")[0] == 200, what="the end of the wait")


def test_passwords_go_over_tls_where_there_is_a_certificate(tmp_path: Path) -> None:
    certificate, key = tmp_path / "site.pem", tmp_path / "site.key"
    made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    named = ["-subj", "/CN=site", "-addext", f"subjectAltName=IP:{HOST}", "-days", "2"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([peer("openssl"), *made, *named, *files], check=True, capture_output=True)
    tls = {"certificate": str(certificate), "key": str(key)}
    with answering(filled(tmp_path, find_free_port(), **tls)) as pages:
        pages.scheme = "https"
        assert pages.ask("/")[0] == 200
        with pytest.raises(OSError, match="."):
            Pages(tmp_path, pages.port, pages.past).ask("/")


def test_serve_answers_too_where_there_are_users(pacs: Orthanc, tmp_path: Path) -> None:
    port = find_free_port()
    users = {"anna": hash_password(PASSWORDS["anna"])}
    site = configure(tmp_path, pacs, web={"port": port, "users": users})
    with serving(site):
        wait_until(lambda: listens(port), what="the page")
        status, page = Pages(tmp_path, port, None).ask("/")  # type: ignore[arg-type]
        assert (status, "There are no past cases yet" in page) == (200, True)
        assert "The current model is untrained" in page
        (web,) = (each for each in site.processes() if "web" in each.cmdline())
        web.kill()
        wait_until(lambda: not listens(port), what="its end")
        wait_until(lambda: listens(port), 60, "its return")
