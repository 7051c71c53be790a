"""The settings of a site: one YAML file, with single fields overridden by the environment.

The settings do not change once they are read. The file is the one of `--config`, otherwise of
TRIAGE_CONFIG; without a file the defaults apply. The variable TRIAGE_<FIELD> sets any field, with
two underscores between levels: TRIAGE_RECEIVER__PORT=11112.

Invariants: `deploy/triage.yaml` explains every field and no other, with its default
(tests/unit/deploy/test_example_settings.py).
"""

from triage.config.archives import (
    AnyArchiveSettings,
    ArchiveSettings,
    DicomArchiveSettings,
    DicomwebArchiveSettings,
    MoveToSettings,
)
from triage.config.audit import AuditSettings, AuditSyslogSettings
from triage.config.destinations import (
    DESTINATION_MODELS,
    AnyDestination,
    DestinationSettings,
)
from triage.config.fields import HASHED_PASSWORD, AeTitle
from triage.config.hl7 import Hl7Sender, Hl7Settings
from triage.config.listening import ListeningAddress
from triage.config.private_files import check_private_files
from triage.config.reading import (
    child_environment,
    is_watchdog_for,
    load,
    notify_address,
    render_settings,
    require_peers,
)
from triage.config.receiver import (
    CommitmentRequestor,
    CompletenessSettings,
    InstanceCountSettings,
    PeerSettings,
    ReceiverSettings,
    SourceCompleteness,
    StowSender,
    StowSettings,
    TlsSettings,
    WatchedFolder,
)
from triage.config.retention import RetentionSettings
from triage.config.site import (
    PACKAGE,
    EquipmentSettings,
    MetricsEndpoint,
    ModelSettings,
    Settings,
    WebSettings,
    WorkerSettings,
)
from triage.config.spool import SpoolSettings

__all__ = [
    "DESTINATION_MODELS",
    "HASHED_PASSWORD",
    "PACKAGE",
    "AeTitle",
    "AnyArchiveSettings",
    "AnyDestination",
    "ArchiveSettings",
    "AuditSettings",
    "AuditSyslogSettings",
    "CommitmentRequestor",
    "CompletenessSettings",
    "DestinationSettings",
    "DicomArchiveSettings",
    "DicomwebArchiveSettings",
    "EquipmentSettings",
    "Hl7Sender",
    "Hl7Settings",
    "InstanceCountSettings",
    "ListeningAddress",
    "MetricsEndpoint",
    "ModelSettings",
    "MoveToSettings",
    "PeerSettings",
    "ReceiverSettings",
    "RetentionSettings",
    "Settings",
    "SourceCompleteness",
    "SpoolSettings",
    "StowSender",
    "StowSettings",
    "TlsSettings",
    "WatchedFolder",
    "WebSettings",
    "WorkerSettings",
    "check_private_files",
    "child_environment",
    "is_watchdog_for",
    "load",
    "notify_address",
    "render_settings",
    "require_peers",
]
