"""Changes of how a study is written do not change the flags of the demo bundle.

Every mutation goes from instances to frames; only clips that differ are encoded, in one batch.
"""

import numpy as np
import pytest
from pydicom import Dataset

from tests.builders.images import part10
from tests.builders.mutations import KEEPING, DrawnStudy, Study, draw
from tests.builders.mutations.additions import EXTRAS
from tests.builders.mutations.study import changed
from triage.config import Settings
from triage.domain.assessment import Answer, Flag
from triage.imaging.clip import find_heart_centre, join_views, prepare_view
from triage.imaging.series import Image, select_views
from triage.model.scoring import answer_finding
from triage.phantom.dicom import DicomForm, build_datasets, draw_patient
from triage.phantom.habits import Vendor
from triage.phantom.heart import Heart, Pathology, draw_heart
from triage.phantom.signal import LOOKS
from triage.phantom.stack import PhantomSequence, PhantomStack
from triage.phantom.study import acquire_stacks
from triage.pipeline.model_input import LoadedModel
from triage.ports.encoder import Frames
from triage.runtime.model import DEMO_BUNDLE, DEMO_FINDINGS, open_model

SEED = 50_003
CORE = {PhantomSequence.CINE, PhantomSequence.LGE}


def instances(heart: Heart, stacks: list[PhantomStack]) -> Study:
    form = DicomForm(Vendor.SIEMENS)
    return list(build_datasets(stacks, draw_patient(heart), form, heart.seed))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = tmp_path_factory.mktemp("model")
    settings = Settings.model_validate(
        {
            "state_dir": folder,
            "model": {"bundle": DEMO_BUNDLE, "provider": "cpu"},
            "findings": DEMO_FINDINGS,
        }
    )
    return open_model(settings, None)


@pytest.fixture(scope="module")
def drawn(model: LoadedModel) -> DrawnStudy:
    heart = draw_heart(SEED, (Pathology.DILATED,))
    stacks = list(acquire_stacks(heart, LOOKS["siemens"], heart.seed, extras=True))
    core = [stack for stack in stacks if stack.sequence in CORE]
    study = instances(heart, core)
    own = {str(dataset.SOPInstanceUID) for dataset in study}
    extras = {
        kind: [
            dataset
            for dataset in instances(heart, [*core, *(s for s in stacks if s.sequence is kind)])
            if str(dataset.SOPInstanceUID) not in own
        ]
        for kind in EXTRAS
    }
    return draw(study, extras, [slot.view for slot in model.bundle.manifest.layout])


#: Elements that decide how pixels become frames.
PIXELS = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")


def clip_of(
    study: Study, model: LoadedModel, prepared: dict[object, Frames]
) -> tuple[tuple[str, ...], Frames]:
    """Return the views and frames that the model takes from a study.

    `prepared` keeps the frames of equal images, which most mutations have.
    """
    form = model.bundle.manifest.clip
    datasets = {f"{number:05d}": dataset for number, dataset in enumerate(study)}
    images = [Image(path, dataset) for path, dataset in datasets.items()]
    used = select_views(images, [slot.view for slot in form.layout]).used
    heart = find_heart_centre(used)
    frames = {}
    for each in used:
        key = each.view, str(heart), tuple(pixels_of(image) for image in each.images)
        if key not in prepared:
            prepared[key] = prepare_view(each, form, heart, lambda path: written(datasets[path]))
        frames[each.view] = prepared[key]
    return tuple(frames), join_views(frames, form)


def pixels_of(image: Image) -> tuple[object, ...]:
    return hash(image.header.PixelData), *(str(image.header[keyword].value) for keyword in PIXELS)


def written(dataset: Dataset) -> bytes:
    """Return an instance as a file, without the element that pydicom refuses to write."""
    return part10(changed(dataset, SmallestImagePixelValue=None))


def flags(views: tuple[str, ...], embedding: np.ndarray, model: LoadedModel) -> dict[str, Answer]:
    return {
        finding.id: answer_finding(
            finding, model.questions[finding.id], model.bundle, views, embedding
        )
        for finding in model.findings.findings
    }


def test_no_mutation_changes_a_flag(drawn: DrawnStudy, model: LoadedModel) -> None:
    wanted = list(KEEPING.values())
    prepared: dict[object, Frames] = {}
    clips = {"": clip_of(drawn.instances, model, prepared)}
    for mutation in wanted:
        clips[mutation.name] = clip_of(
            mutation.apply(drawn.instances, drawn, seed=3), model, prepared
        )
    different = {clip.tobytes(): clip for _, clip in clips.values()}
    embeddings = dict(
        zip(different, model.encoder.encode_clips(list(different.values())), strict=True)
    )
    print(len(wanted), "mutations,", len(different), "different clips")
    expected = flags(clips[""][0], embeddings[clips[""][1].tobytes()], model)
    assert Flag.YES in {answer.flag for answer in expected.values()}
    for name, (views, clip) in clips.items():
        found = flags(views, embeddings[clip.tobytes()], model)
        assert views == clips[""][0], name
        assert {id_: answer.flag for id_, answer in found.items()} == {
            id_: answer.flag for id_, answer in expected.items()
        }, name
