"""A site that waits for evidence, and what `status` prints of its study."""

from pathlib import Path

import yaml

from tests.acceptance.site import LiveSite, configure
from tests.integration.command_line import run_triage
from tests.integration.servers import Orthanc

QUIET_S = 600  #: long after the study is complete, even on a busy machine


def site(folder: Path, pacs: Orthanc, quiet_s: float, **complete: object) -> LiveSite:
    """Write the configuration of a site that waits so."""
    running = configure(folder, pacs)
    content = yaml.safe_load(running.config.read_text())
    content["receiver"] |= {"quiet_s": quiet_s, "complete": complete}
    running.config.write_text(yaml.safe_dump(content))
    return running


def status(site: LiveSite) -> str:
    (study,) = site.studies()
    shown = run_triage("status", study.study_uid, config=site.config)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout
