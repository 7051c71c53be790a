"""Support for ledger tests: a ledger with a study in a given state."""

from tests.builders.images import image, part10
from triage.dicom.header import read_identity
from triage.domain.delivery import Product
from triage.domain.instance import Identity, Receipt, ReceiptOutcome, Source
from triage.domain.study import Event, State, StudyRevision
from triage.pipeline.assess import Assessor
from triage.ports.ledger import Ledger
from triage.ports.studies import StudyLedger
from triage.store.ledger import SqlLedger

SOURCE = Source("PACS", "127.0.0.1")
PRODUCT = Product("structured_report", "1.2.840.10008.5.1.4.1.1.88.34", "2.25.1", b"report")
HOLDER = "worker:1"
MR = "1.2.840.10008.5.1.4.1.1.4"


def receipt(study: str = "study", number: int = 1) -> Receipt:
    """Return the receipt of one instance."""
    identity = read_identity(part10(image(study, "series", number)))
    return Receipt(identity, f"{study}/{number}.dcm", "d" * 64, ReceiptOutcome.NEW)


def current(ledger: StudyLedger, study_uid: str) -> StudyRevision:
    """Return the newest revision of a study."""
    return [study for study in ledger.list_studies() if study.study_uid == study_uid][-1]


def full_ledger(assessor: Assessor) -> Ledger:
    """Return the whole ledger of an assessor, which declares fewer ports."""
    assert isinstance(assessor.ledger, SqlLedger)
    return assessor.ledger


def received(ledger: Ledger, study: str = "study", count: int = 3) -> StudyRevision:
    """Return a study with received instances."""
    for number in range(count):
        ledger.record_instance(receipt(study, number), SOURCE)
    return current(ledger, receipt(study).identity.study_uid)


def ready(ledger: Ledger, study: str = "study") -> StudyRevision:
    """Return a READY study."""
    assert ledger.move(received(ledger, study), Event.JUDGED_COMPLETE, "quiet")
    return current(ledger, receipt(study).identity.study_uid)


def assessing(ledger: Ledger, study: str = "study", holder: str = HOLDER) -> StudyRevision:
    """Return a study leased to a worker."""
    waiting = ready(ledger, study)
    claimed = ledger.claim(waiting.study_uid, waiting.revision, holder, 30)
    assert claimed is not None
    assert claimed.state is State.ASSESSING
    return claimed


def assessed(ledger: Ledger, *destinations: str) -> tuple[StudyRevision, list[int]]:
    """Return an assessed study and the ids of its deliveries."""
    study = assessing(ledger)
    due = ledger.finish(
        study, HOLDER, "{}", [PRODUCT], [(PRODUCT, name) for name in destinations or ("pacs",)]
    )
    assert due is not None
    return current(ledger, study.study_uid), list(due)


def numbered_receipt(study_uid: str, number: int) -> Receipt:
    """Return the receipt of an instance with numbered UIDs, without a file."""
    identity = Identity(
        study_uid, f"{study_uid}.0", MR, f"{study_uid}.{number}", "MR", is_image=True
    )
    return Receipt(identity, f"{study_uid}/{number}.dcm", "d" * 64, ReceiptOutcome.NEW)
