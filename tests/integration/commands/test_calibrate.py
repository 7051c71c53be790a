"""`triage findings calibrate` on past cases with drawn embeddings, without torch."""

from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from tests.builders.drawn_cases import draw_cases
from tests.contract.ledgers import SOURCE, receipt
from tests.integration.command_line import run_triage
from tests.integration.commands.site import configured
from triage.config import load
from triage.findings.loader import load_findings
from triage.runtime.model import DEMO_BUNDLE, DEMO_FINDINGS, open_encoder, open_site_bundle
from triage.runtime.storage import open_past_cases
from triage.store.ledger import SqlLedger

COMMENT = ("--comment", "why not")
FINDING = "lv_dilation"
VIEWS = ("cine_lax", "cine_sa")


@pytest.fixture
def site(tmp_path: Path, ledger: SqlLedger) -> Path:
    """Return the settings of a site with 600 past cases, 200 of them labelled."""
    assert not ledger.list_studies()
    model = {"bundle": str(DEMO_BUNDLE)}
    path = configured(
        tmp_path, model=model, findings=str(DEMO_FINDINGS), audit={"file": "audit.log"}
    )
    settings = load(path, {})
    bundle = open_site_bundle(settings)
    encoder = open_encoder(settings, bundle)
    known = {finding.id: finding for finding in load_findings(DEMO_FINDINGS).findings}
    prompts = np.stack([encoder.encode_text(prompt) for prompt in known[FINDING].prompts])
    past = open_past_cases(settings, bundle)
    rows = [f"study_uid,{FINDING}"]
    for name, middle, count, labels in (("having", 0.5, 60, 40), ("lacking", 0.3, 340, 60)):
        drawn = draw_cases(prompts, middle, count, VIEWS, name=name)
        for number, (case, point) in enumerate(drawn):
            past.library.add(case, point)
            if number < labels:
                rows.append(f"{case.study_uid},{int(name == 'having')}")
    tmp_path.joinpath("known.csv").write_text("\n".join(rows))
    assert findings(path, "import", DEMO_FINDINGS, *COMMENT).stdout
    return path


def findings(site: Path, *words: object, right: bool = True) -> CompletedProcess[str]:
    shown = run_triage("findings", *words, config=site)
    assert (shown.returncode == 0) == right, shown.stderr
    assert "Traceback" not in shown.stderr
    return shown


def calibrate(site: Path, *words: object, right: bool = True) -> CompletedProcess[str]:
    return findings(site, "calibrate", FINDING, *words, *COMMENT, right=right)


def test_a_finding_is_calibrated_by_labels_by_a_budget_and_by_the_bundle(site: Path) -> None:
    labels = ("--labels", site.with_name("known.csv"), "--for")
    tried = calibrate(site, *labels, "sensitivity=0.9", "--dry-run")
    assert "set on 40 patients with it and 60 without it" in tried.stdout
    assert "nothing was changed" in tried.stdout
    assert "version 1, active" in findings(site, "history", FINDING).stdout

    made = calibrate(site, *labels, "sensitivity=0.9")
    assert f"{FINDING}: version 2 is active" in made.stdout
    assert "thresholds of this site: labelled, sensitivity=0.9" in made.stdout
    listed = run_triage("findings", "list", config=site, COLUMNS="250").stdout
    assert "labelled, sensitivity=0.9" in listed
    assert "bundle" in listed

    budget = calibrate(site, "--budget", "5%")
    assert "set on the latest 400 studies; accuracy unknown" in budget.stdout
    assert f"{FINDING}: version 3 is silent" in budget.stdout
    activated = findings(site, "activate", FINDING, *COMMENT)
    assert "budget 5%, accuracy unknown" in activated.stdout
    checked = run_triage("check", config=site).stdout
    assert f"{FINDING}: thresholds of this site: budget 5%, accuracy unknown" in checked

    assert "version 5 is active" in calibrate(site, "--bundle").stdout
    undone = findings(site, "undo", FINDING, *COMMENT)
    assert "thresholds: bundle -> budget 5%, accuracy unknown" in undone.stdout


def test_an_edited_finding_has_no_valid_calibration_and_the_commands_say_so(site: Path) -> None:
    labels = ("--labels", site.with_name("known.csv"), "--for", "equal-error")
    calibrate(site, *labels)
    file = site.with_name("edited.yaml")
    name = next(
        finding.name for finding in load_findings(DEMO_FINDINGS).findings if finding.id == FINDING
    )
    file.write_text(DEMO_FINDINGS.read_text().replace(f"name: {name}", "name: Other"))
    void = f"{FINDING} will be Not Evaluated: the site's calibration (version 2 of the finding)"
    remedy = f"`triage findings calibrate {FINDING} --help`"
    imported = findings(site, "import", file, *COMMENT)
    silent = findings(site, "silence", FINDING, *COMMENT)
    active = findings(site, "activate", FINDING, *COMMENT)
    for shown in (imported, silent, active):
        text = " ".join(shown.stderr.split())
        assert void in text
        assert remedy in text
    checked = run_triage("check", config=site)
    assert f"{FINDING} is Not Evaluated" in checked.stderr


REFUSED = [
    (("--budget", "5"), "give 5/week or 2%"),
    (("--budget", "200%"), "give 5/week or 2%"),
    (("--budget", "2%", "--bundle"), "give one of --labels with --for"),
    (("--labels", "known.csv"), "--labels and --for belong together"),
    (("--for", "ppv=0.5"), "--labels and --for belong together"),
    (("--labels", "known.csv", "--for", "5/week"), "give sensitivity=0.9"),
    (("--labels", "known.csv", "--for", "ppv=0.01"), "without flagging every study"),
    (("--bundle",), "the thresholds of the bundle apply already"),
    ((), "give one of --labels with --for"),
]


def test_a_calibration_that_is_not_possible_is_refused(site: Path) -> None:
    for words, said in REFUSED:
        named = [site.with_name(word) if word == "known.csv" else word for word in words]
        refused = calibrate(site, *named, right=False)
        assert said in " ".join(refused.stderr.split())
    unknown = findings(site, "calibrate", "none", "--budget", "2%", *COMMENT, right=False)
    assert "the ledger has no finding none" in unknown.stderr
    assert "version 2" not in findings(site, "history", FINDING).stdout


def test_labels_are_joined_by_accession_and_never_by_patient(site: Path, ledger: SqlLedger) -> None:
    table = site.with_name("known.csv")
    labels = [row.split(",") for row in table.read_text().splitlines()[1:]]
    rows = [f"A{number},{label}" for number, (_, label) in enumerate(labels)]
    table.write_text("\n".join([f"accession,{FINDING}", *rows]))
    asked = ("--labels", table, "--for", "equal-error")
    unknown = calibrate(site, *asked, right=False).stderr
    assert "100 labelled studies are no such case" in " ".join(unknown.split())
    for number, (uid, _) in enumerate(labels[:-1]):
        known = receipt(uid)
        identity = replace(known.identity, study_uid=uid, accession_number=f"A{number}")
        ledger.record_instance(replace(known, identity=identity), SOURCE)
    made = calibrate(site, *asked)
    assert "set on 40 patients with it and 59 without it" in made.stdout
    assert "1 labelled studies are no case of this bundle" in " ".join(made.stderr.split())
    table.write_text("\n".join([f"patient_id,{FINDING}", *rows]))
    assert "name studies by study_uid" in calibrate(site, *asked, right=False).stderr
