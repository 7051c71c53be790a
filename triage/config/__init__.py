"""The settings of a site: one YAML file, single fields overridden by the environment.

Rule: frozen once read. The file is `--config`, else TRIAGE_CONFIG, else there is none and the
defaults hold. Any field can be set as TRIAGE_<FIELD>, with two underscores between levels:
TRIAGE_RECEIVER__PORT=11112. `deploy/triage.yaml` explains every field; a test holds the two
together.
"""

from triage.config.archives import Archive, Asking, DicomArchive, DicomwebArchive, MoveTo
from triage.config.destinations import DicomDestination
from triage.config.fields import HASHED, AeTitle
from triage.config.reading import child_environment, load, require_peers, shown
from triage.config.receiver import (
    CommitmentRequestor,
    Completeness,
    Inquired,
    Peer,
    Receiver,
    SourceCompleteness,
    Stow,
    StowSender,
    Tls,
    WatchedFolder,
)
from triage.config.retention import Retention
from triage.config.site import Equipment, MetricsEndpoint, Model, Settings, Web, Worker

__all__ = [
    "HASHED",
    "AeTitle",
    "Archive",
    "Asking",
    "CommitmentRequestor",
    "Completeness",
    "DicomArchive",
    "DicomDestination",
    "DicomwebArchive",
    "Equipment",
    "Inquired",
    "MetricsEndpoint",
    "Model",
    "MoveTo",
    "Peer",
    "Receiver",
    "Retention",
    "Settings",
    "SourceCompleteness",
    "Stow",
    "StowSender",
    "Tls",
    "WatchedFolder",
    "Web",
    "Worker",
    "child_environment",
    "load",
    "require_peers",
    "shown",
]
