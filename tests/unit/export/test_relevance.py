"""Key frames of the demo bundle point to the views that carry the truth."""

from pathlib import Path

import numpy as np
import pytest

from export.__main__ import CLIPS
from export.pairs import open_pairs
from export.phantoms import write_phantoms
from export.relevance import (
    ALL,
    FlaggedCase,
    measure_pointing,
    sources,
    summary,
    table,
    view_of_each_frame,
)
from triage.config import Settings
from triage.domain.errors import ConfigurationError
from triage.findings.loader import load_findings
from triage.model.bundle import ClipForm, open_bundle
from triage.model.encoder import OnnxEncoder
from triage.runtime.model import DEMO_BUNDLE, DEMO_FINDINGS
from triage.yaml_models import read

FORM = read(CLIPS / "demo.yaml", ClipForm)
FINDINGS = load_findings(DEMO_FINDINGS)
#: No training, calibration or choice of method has seen them.
SEEDS = range(52_000, 52_024)


def test_the_foremost_view_carries_the_truth_more_often_than_chance(tmp_path: Path) -> None:
    """The interval of all findings together lies above; export/demo_run has each on 500 hearts."""
    write_phantoms(tmp_path, SEEDS, FORM, workers=2)
    bundle = open_bundle(DEMO_BUNDLE)
    pointed = measure_pointing(open_pairs(tmp_path), bundle, OnnxEncoder(bundle, "cpu"), FINDINGS)
    print("\n".join(table(pointed)), f"{pointed.seconds:.2f} s a study")
    everything = pointed.findings[ALL]
    assert everything.cases >= 20
    assert everything.low > 0
    assert everything.hits - everything.chance > everything.low


def test_a_bundle_without_thresholds_flags_nothing_that_could_be_measured(tmp_path: Path) -> None:
    write_phantoms(tmp_path, range(1), FORM)
    bundle = open_bundle(Settings().model.bundle)
    with pytest.raises(ConfigurationError, match="no calibration.json"):
        measure_pointing(open_pairs(tmp_path), bundle, OnnxEncoder(bundle, "cpu"), FINDINGS)


def test_frames_tell_their_views_only_where_lengths_are_stated() -> None:
    slots = view_of_each_frame(FORM)
    assert slots == ("cine_lax",) * 6 + ("cine_sa",) * 6 + ("lge_sa",) * 5 + (
        "lge_lax",
        "lge_2ch",
        "lge_3ch",
    )
    with pytest.raises(ConfigurationError, match="the views of these frames are unknown"):
        view_of_each_frame(read(CLIPS / "published.yaml", ClipForm))


def test_a_black_view_is_missing_and_a_black_frame_of_another_is_not() -> None:
    slots = view_of_each_frame(FORM)
    single = slots.index("lge_lax")
    clip = np.ones((len(slots), 2, 2), np.uint8)
    clip[[0, single]] = 0
    found = sources(clip, slots)
    assert found[0] == ("cine_lax", 0)
    assert [place for place, each in enumerate(found) if each is None] == [single]


def test_hits_are_compared_with_chance_case_by_case() -> None:
    always = summary([FlaggedCase(study, hit=True, chance=0.5) for study in range(40)])
    assert (always.hits, always.chance, always.low, always.high) == (1, 0.5, 0.5, 0.5)
    half = summary([FlaggedCase(study, study % 2 == 0, 0.5) for study in range(40)])
    assert half.low < 0 < half.high


def test_findings_of_one_study_count_as_one_witness() -> None:
    apart = summary([FlaggedCase(number, number % 2 == 0, 0.5) for number in range(40)])
    together = summary(
        [FlaggedCase(number // 8, number // 8 % 2 == 0, 0.5) for number in range(40)]
    )
    assert together.high - together.low > 1.5 * (apart.high - apart.low)
