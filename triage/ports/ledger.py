"""The ledger as a whole: the truth about states."""

from typing import Protocol

from triage.ports.deliveries import DeliveryLedger
from triage.ports.incidents import IncidentLedger
from triage.ports.instances import InstanceLedger
from triage.ports.studies import StudyLedger


class Ledger(InstanceLedger, StudyLedger, DeliveryLedger, IncidentLedger, Protocol):
    """One ledger for instances, studies, deliveries and incidents.

    A use case takes the narrower ports that it needs; only `runtime` uses the whole.
    """
