"""The model that `triage score` chooses."""

from pathlib import Path

import pytest

from triage.config import Settings
from triage.config.site import ModelSettings
from triage.runtime.model import DEMO_BUNDLE, DEMO_FINDINGS
from triage.runtime.scoring import choose_model, choose_workers
from triage.runtime.settings import load_settings

UNTRAINED, DEFAULT = Settings().model.bundle, Settings().findings
SITE = Settings(state_dir=Path("state"), model=ModelSettings(bundle=UNTRAINED))
OWN = Path("findings.yaml")


def test_without_settings_it_is_the_demo_bundle_with_its_findings() -> None:
    chosen = choose_model(load_settings(None, {}), None, None)
    assert (chosen.model.bundle, chosen.findings) == (DEMO_BUNDLE, DEMO_FINDINGS)


@pytest.mark.parametrize(
    ("settings", "bundle", "findings", "expected"),
    [
        (SITE, None, None, (UNTRAINED, DEFAULT)),
        (Settings(state_dir=Path("state")), None, None, (UNTRAINED, DEFAULT)),
        (SITE, DEMO_BUNDLE, None, (DEMO_BUNDLE, DEMO_FINDINGS)),
        (SITE, DEMO_BUNDLE, OWN, (DEMO_BUNDLE, OWN)),
        (Settings(findings=OWN), DEMO_BUNDLE, None, (DEMO_BUNDLE, OWN)),
        (Settings(), UNTRAINED, None, (UNTRAINED, DEFAULT)),
    ],
)
def test_options_come_before_the_settings(
    settings: Settings, bundle: Path | None, findings: Path | None, expected: tuple[Path, Path]
) -> None:
    chosen = choose_model(settings, bundle, findings)
    assert (chosen.model.bundle, chosen.findings) == expected


def test_a_gpu_has_one_process() -> None:
    assert choose_workers(Settings(model=ModelSettings(provider="cuda"))) == 1
    assert choose_workers(Settings()) >= 1
