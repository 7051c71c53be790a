"""The demo bundle marks out-of-distribution studies as unfamiliar, and drawn hearts not.

The whole table is in export/demo_run/familiarity.md; the hearts of this test are not in it.
"""

import numpy as np
import pytest

from export import ood_evaluation as unlike
from export.pairs import Pairs
from tests.peers import real_data
from triage.model.bundle import Bundle, open_bundle
from triage.runtime.model import DEMO_BUNDLE

COUNT = 40
#: Limit for 100 hearts at a false alarm rate of 1 %; probability of more: 0.003.
MOST = 4
#: Groups that must be caught, and the least share of each kind.
CAUGHT = {
    "noise": 0.95,
    "another modality, drawn": 0.95,
    "wrong views": 0.95,
    "wrong place": 0.95,
}


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(DEMO_BUNDLE)


@pytest.fixture(scope="module", params=["internal", "external"])
def pairs(request: pytest.FixtureRequest) -> tuple[str, Pairs]:
    return request.param, request.getfixturevalue(f"{request.param}_hearts")


def test_held_out_hearts_are_familiar(pairs: tuple[str, Pairs], bundle: Bundle) -> None:
    name, hearts = pairs
    called = unlike.hearts(hearts, name, bundle)
    print(f"{name}: {called.unfamiliar} of {called.clips} hearts called unfamiliar")
    assert called.unfamiliar <= MOST


def test_noise_other_modalities_and_wrong_views_are_unfamiliar(
    pairs: tuple[str, Pairs], bundle: Bundle
) -> None:
    name, hearts = pairs
    for called in unlike.synthetic_samples(hearts, COUNT, bundle):
        share = called.unfamiliar / called.clips
        print(f"{name}, {called.group}, {called.kind}: {share:.2f} of {called.clips}")
        assert share >= CAUGHT.get(called.group, 0), called


@pytest.mark.filterwarnings("ignore")  # files that are damaged on purpose
def test_real_pictures_are_unfamiliar_to_a_model_of_drawn_hearts(bundle: Bundle) -> None:
    form = bundle.manifest.clip
    for called in unlike.pictures(real_data(""), form, bundle):
        print(f"{called.kind}: {called.unfamiliar} of {called.clips}")
        assert called.unfamiliar == called.clips, called


def test_a_real_heart_is_unfamiliar(bundle: Bundle) -> None:
    study = real_data("siemens_vida_cine") / "patient1"
    (called,) = unlike.studies([study], bundle.manifest.clip, bundle)
    assert called.unfamiliar == 1


def test_the_bundle_has_statistics_of_all_hearts_and_no_single_heart(bundle: Bundle) -> None:
    """Means and matrices of all hearts together, however many these were."""
    assert bundle.ood_reference is not None
    assert bundle.ood_reference.shape == (6, 67, 66)
    assert np.isfinite(bundle.ood_reference).all()
