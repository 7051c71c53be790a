"""The destinations: peers that products (reports and messages) are sent to.

A new destination is one new file in this package and one line in MODULES; README.md shows a
complete example. The file declares its settings, its media types, how it is opened, its audit peer
and its parts of the documents as one `DestinationType` named DESTINATION.

    folder            files in a folder
    webhook           a signed JSON summary over HTTP
    mllp              HL7 v2 messages over MLLP
    stow              DICOM objects over STOW-RS
    dicom             DICOM objects over C-STORE:
                      dicom_store, storage_commitment, dicom_tls
    http, tls_files, tls_alerts   shared by those that use HTTP, and TLS

Invariants: every destination opens from its example, takes a report, and has its entries in the
documents (tests/unit/destinations/test_registry.py).
"""

from collections.abc import Iterable, Mapping
from importlib import import_module

from triage.config import DESTINATION_MODELS
from triage.destinations.destination_type import DestinationType

#: The modules that each declare one destination, in the order of the documents.
MODULES = (
    "dicom",
    "folder",
    "webhook",
    "mllp",
    "stow",
)


def find_destinations(modules: Iterable[str]) -> dict[str, DestinationType]:
    """Return the destinations that these modules declare, by the `kind` of their settings."""
    declared = [import_module(f"{__name__}.{name}").DESTINATION for name in modules]
    return {destination.kind: destination for destination in declared}


DESTINATIONS: Mapping[str, DestinationType] = find_destinations(MODULES)


def register() -> None:
    """Register the settings of every destination, so that `triage.config` can read them."""
    DESTINATION_MODELS.update({kind: d.settings for kind, d in DESTINATIONS.items()})
