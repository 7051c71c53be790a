"""Studies that an assessor is given, and their assessments."""

from dataclasses import replace

from pydicom import Dataset

from tests.builders.images import part10, uid
from tests.contract.ledgers import SOURCE, current, full_ledger
from triage.domain.assessment import Assessment
from triage.domain.study import Event
from triage.pipeline.assess import Assessor, read_summary
from triage.pipeline.intake import Intake

STUDY = uid("study")


def trained(assessor: Assessor, threshold: float) -> Assessor:
    """Return the assessor with a bundle that is marked as trained and calibrated."""
    model = assessor.model
    asked = {
        id_: replace(question, threshold=threshold, why_not=None)
        for id_, question in model.questions.items()
    }
    manifest = model.bundle.manifest.model_copy(update={"trained": True})
    bundle = replace(model.bundle, manifest=manifest)
    return replace(assessor, model=replace(model, bundle=bundle, questions=asked))


def assessed(assessor: Assessor, datasets: list[Dataset]) -> Assessment:
    run(assessor, datasets)
    summary = assessor.ledger.get_summary(STUDY, 1)
    assert summary is not None, current(assessor.ledger, STUDY).reason
    return read_summary(summary)


def run(assessor: Assessor, datasets: list[Dataset]) -> None:
    receive(assessor, datasets)
    assessor.assess(STUDY, 1)


def receive(assessor: Assessor, datasets: list[Dataset]) -> None:
    """Receive a study until it is READY."""
    intake = Intake(assessor.spool, full_ledger(assessor))
    for dataset in datasets:
        intake.accept(part10(dataset), SOURCE)
    study = current(assessor.ledger, STUDY)
    assert assessor.ledger.move(study, Event.JUDGED_COMPLETE, "quiet")
