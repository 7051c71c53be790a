"""Studies that are unlike those of the training, or not synthetic, have no flag."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from tests.builders.images import cardiac_study
from tests.unit.pipeline.assessed_studies import STUDY, assessed, trained
from triage.config import Settings
from triage.config.site import ModelSettings
from triage.domain.assessment import Flag, Priority
from triage.domain.reasons import ReasonCode
from triage.model.bundle import open_bundle
from triage.pipeline.assess import Assessor
from triage.runtime.model import DEMO_BUNDLE, DEMO_FINDINGS, open_model

#: A de-identified study of a patient.
REAL_HEART = Path(__file__).parents[3] / "triage" / "demo_study"


def of_drawn_hearts(
    assessor: Assessor, mark: str = "", *, synthetic_only: bool = False
) -> Assessor:
    """Return the assessor with the limit of the demo bundle; every score is above its threshold."""
    bundle = open_bundle(DEMO_BUNDLE)
    manifest = bundle.manifest.model_copy(update={"synthetic_only": synthetic_only})
    model = replace(trained(assessor, -1).model, bundle=replace(bundle, manifest=manifest))
    return replace(assessor, model=replace(model, mark_unfamiliar=mark))


@pytest.mark.parametrize("mark", ["", "trial 12"])
def test_an_out_of_distribution_study_is_silent_unless_the_site_wants_a_mark(
    assessor: Assessor, mark: str
) -> None:
    """Images of discs, given to a model of drawn hearts."""
    said = assessed(of_drawn_hearts(assessor, mark), cardiac_study())
    assert said.is_unfamiliar
    assert said.familiarity is not None
    assert said.familiarity.strangest_view in {view.view for view in said.used}
    if mark:
        assert (said.flag, said.priority) == (Flag.YES, Priority.EXPEDITE)
        assert said.note.endswith(f"its flags mean little. They are shown because: {mark}")
        return
    assert (said.flag, said.priority) == (Flag.NOT_EVALUATED, Priority.ROUTINE)
    assert {answer.why_not for answer in said.answers} == {ReasonCode.UNFAMILIAR}
    assert {answer.reason for answer in said.answers} == {
        "unlike the studies the model was trained on"
    }
    assert all(not answer.key_frames for answer in said.answers)


@pytest.mark.parametrize(
    ("marks", "silence"),
    [
        ((None, None), ReasonCode.NOT_SYNTHETIC),
        (("YES", None), ReasonCode.NOT_SYNTHETIC),
        (("YES", "NO"), ReasonCode.NOT_SYNTHETIC),
        (("YES", "YES"), None),
    ],
)
def test_a_bundle_for_synthetic_images_flags_only_studies_that_are_synthetic_throughout(
    assessor: Assessor, marks: tuple[str | None, str | None], silence: ReasonCode | None
) -> None:
    images = cardiac_study()
    for number, image_ in enumerate(images):
        if (value := marks[number == 0]) is not None:
            image_.SyntheticData = value
    said = assessed(of_drawn_hearts(assessor, "any reason", synthetic_only=True), images)
    assert said.silence is silence
    assert said.flag is (Flag.NOT_EVALUATED if silence else Flag.YES)
    assert all(answer.score is not None for answer in said.answers if answer.views)


def test_a_real_heart_has_no_flag_by_the_bundle_of_drawn_hearts(assessor: Assessor) -> None:
    settings = Settings(model=ModelSettings(bundle=DEMO_BUNDLE), findings=DEMO_FINDINGS)
    images: list[Dataset] = [*map(dcmread, sorted(REAL_HEART.rglob("*.dcm")))]
    for real in images:
        real.StudyInstanceUID = STUDY
    said = assessed(replace(assessor, model=open_model(settings, None)), images)
    assert (said.flag, said.priority) == (Flag.NOT_EVALUATED, Priority.ROUTINE)
    assert said.silence is ReasonCode.NOT_SYNTHETIC
    assert said.is_unfamiliar
    assert said.note == "The model is for synthetic images only: no finding is evaluated."


def test_a_bundle_without_distribution_states_no_familiarity(assessor: Assessor) -> None:
    said = assessed(assessor, cardiac_study())
    assert said.familiarity is None
    assert not said.is_unfamiliar
