"""One study to a destination of each kind: each gets what it takes, once, and nothing else."""

from pathlib import Path

from tests.acceptance.site import configure, serving, storescu
from tests.builders.images import cardiac_study, part10
from tests.integration.hooks import SECRET, hook
from tests.integration.listeners import listener
from tests.integration.servers import Orthanc
from tests.waiting import HOST
from triage.domain.study import State

REPORTS = ["structured_report", "pdf", "hl7", "summary"]


def test_every_kind_gets_what_it_takes(pacs: Orthanc, tmp_path: Path) -> None:
    files = []
    for number, image in enumerate(cardiac_study("every kind")):
        files.append(tmp_path / f"{number}.dcm")
        files[-1].write_bytes(part10(image))
    folder = tmp_path / "out"
    folder.mkdir()
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "secret").chmod(0o600)
    with hook() as program, listener() as ris:
        others = [
            {"name": "pacs", "ae_title": pacs.ae_title, "host": HOST, "port": pacs.dicom_port},
            {"name": "out", "kind": "folder", "path": "out"},
            {"name": "hook", "kind": "webhook", "url": program.url, "secret_file": "secret"},
            {"name": "ris", "kind": "mllp", "host": HOST, "port": ris.port},
        ]
        site = configure(tmp_path, pacs, destinations=others, reports=REPORTS)
        with serving(site):
            assert storescu(site, files).wait(300) == 0
            study = site.wait_for_end()
    assert study.state is State.DELIVERED
    assert len(pacs.get("/instances")) == 2
    endings = sorted(path.suffix for path in folder.iterdir())
    assert endings == [".dcm", ".dcm", ".hl7", ".json"]
    (said,) = program.summaries.values()
    assert said["study_instance_uid"] == study.study_uid
    (message,) = ris.messages
    assert study.study_uid in message.to_er7()
    assert "Marked" in message.to_er7()
    assert "Marked" not in site.log() + repr(program.requests) + repr(list(folder.iterdir()))
