"""The routing example of deploy/README.md, run by a real Orthanc: a study in, its report back."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.site import CALLED, LiveSite, configure, serving
from tests.integration.servers import Orthanc, orthanc
from tests.waiting import HOST
from triage.cli.demo_site import REAL_STUDY, find_free_port
from triage.domain.study import State

GUIDE = Path(__file__).parents[2] / "deploy" / "README.md"


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LiveSite, Orthanc]]:
    """Yield a site and the Orthanc that routes a study to it by the script of the guide."""
    folder = tmp_path_factory.mktemp("orthanc")
    (script,) = re.findall(r"```lua\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    (folder / "route.lua").write_text(script)
    site_port = find_free_port()
    with ExitStack() as running:
        pacs = running.enter_context(
            orthanc(
                folder,
                DicomModalities={"triage": [CALLED, HOST, site_port]},
                LuaScripts=[str(folder / "route.lua")],
                StableAge=1,
            )
        )
        receiver = {
            "ae_title": CALLED,
            "port": site_port,
            "calling": [pacs.ae_title],
            "quiet_s": 10,
        }
        site = configure(tmp_path_factory.mktemp("site"), pacs, receiver=receiver)
        running.enter_context(serving(LiveSite(site.folder, site_port, site.mark)))
        for image in sorted(REAL_STUDY.rglob("*.dcm")):
            pacs.upload(image.read_bytes())
        yield site, pacs


def test_orthanc_routes_the_study_and_receives_its_report(
    routed: tuple[LiveSite, Orthanc],
) -> None:
    site, pacs = routed
    study = site.wait_for_end()
    assert (study.state, study.instances) == (State.DELIVERED, len([*REAL_STUDY.rglob("*.dcm")]))
    assert len(pacs.reports()) == 1
