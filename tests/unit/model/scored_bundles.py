"""A bundle without weights, calibrated for one finding."""

from pathlib import Path

import numpy as np

from triage.domain.finding import Examples, Finding
from triage.domain.performance import Performance, Rate
from triage.model.bundle import Bundle, Calibration, DecisiveScore, Manifest, Sizes, Threshold

FINDING = Finding("lv", "LV", ("Left ventricle is dilated",), ("cine_sa",), None, "", None)
BY_EXAMPLES = Finding("lv", "LV", (), ("cine_sa",), None, "", None, Examples(("1",), ("2",)))
CLIP = np.array([1, 0], np.float32)
RATE = Rate(0.9, 0.8, 0.95)
PERFORMANCE = Performance(RATE, RATE, RATE, 500, 202, "500 studies of 2025")
NO_CALIBRATION = Calibration(method="none", findings={})


def bundle(*, trained: bool = True, calibration: Calibration | None = None) -> Bundle:
    manifest = Manifest(
        name="test",
        version="1",
        trained=trained,
        intended_use="tests",
        provenance={},
        sizes=Sizes(frames=8, height=8, width=8, embedding=2, text_tokens=8),
        files=dict.fromkeys(("video.onnx", "text.onnx", "tokenizer.json"), "0" * 64),
    )
    return Bundle(Path(), manifest, "0" * 64, calibration)


def decisive(score: float) -> DecisiveScore:
    return DecisiveScore(score=score, predictive_value=0.93, measured_on="412 studies of 2025")


def calibrated(
    prompts: tuple[str, ...] = FINDING.prompts,
    rule_in: DecisiveScore | None = None,
    rule_out: DecisiveScore | None = None,
    spread: float | None = None,
) -> Bundle:
    threshold = Threshold(
        threshold=0.5,
        rule_in=rule_in,
        rule_out=rule_out,
        spread=spread,
        performance=PERFORMANCE,
        prompts=prompts,
    )
    return bundle(calibration=Calibration(method="test", findings={"lv": threshold}))
