"""The settings of a site: one YAML file, single fields overridden by the environment.

Rule: frozen once read. The file is `--config`, else TRIAGE_CONFIG, else there is none and the
defaults hold. Any field can be set as TRIAGE_<FIELD>, with two underscores between levels:
TRIAGE_RECEIVER__PORT=11112. `deploy/triage.yaml` explains every field; a test holds the two
together.
"""

from triage.config.archives import Archive, Asking, DicomArchive, DicomwebArchive, MoveTo
from triage.config.audit import Audit, AuditSyslog
from triage.config.destinations import (
    AnyDestination,
    DestinationTls,
    DicomDestination,
    FolderDestination,
    MllpDestination,
    PacsTls,
    StowDestination,
    WebhookDestination,
)
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
from triage.config.spool import Spool

__all__ = [
    "HASHED",
    "AeTitle",
    "AnyDestination",
    "Archive",
    "Asking",
    "Audit",
    "AuditSyslog",
    "CommitmentRequestor",
    "Completeness",
    "DestinationTls",
    "DicomArchive",
    "DicomDestination",
    "DicomwebArchive",
    "Equipment",
    "FolderDestination",
    "Inquired",
    "MetricsEndpoint",
    "MllpDestination",
    "Model",
    "MoveTo",
    "PacsTls",
    "Peer",
    "Receiver",
    "Retention",
    "Settings",
    "SourceCompleteness",
    "Spool",
    "Stow",
    "StowDestination",
    "StowSender",
    "Tls",
    "WatchedFolder",
    "Web",
    "WebhookDestination",
    "Worker",
    "child_environment",
    "load",
    "require_peers",
    "shown",
]
