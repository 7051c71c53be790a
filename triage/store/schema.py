"""The ledger's tables. Times are seconds since the epoch, UTC.

Every change here needs a migration step in `migrations`, which updates the ledger of an earlier
release; tests/unit/store/test_migrations.py reports a missing step. Tables only gain columns (each
with a server default) and indexes, so the previous release keeps working on the same ledger.
"""

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Dialect,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    event,
    false,
)
from sqlalchemy.types import TypeEngine

DATE_MAX, VENDOR_MAX = 8, 64  #: characters (PS3.5 6.2, VR DA and LO)


class ExternalText(TypeDecorator[str]):
    """Text from outside, without NUL and cut to its width, as PostgreSQL requires."""

    impl = Text
    cache_ok = True

    def __init__(self, width: int | None = None) -> None:
        super().__init__()
        self.width = width

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:  # noqa: ARG002
        """Return the type of the column."""
        return Text() if self.width is None else String(self.width)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Return the value as it is stored."""
        return None if value is None else value.replace("\0", "\ufffd")[: self.width]


metadata = MetaData()

studies = Table(
    "studies",
    metadata,
    Column("study_uid", String(64), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("reason", ExternalText(), nullable=False),
    Column("first_instance_at", Float, nullable=False),
    Column("last_instance_at", Float, nullable=False),
    Column("instances", Integer, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("orphaned", Integer, nullable=False, server_default="0"),
    Column("changed_at", Float, nullable=False),
    Column("holder", String(128), nullable=False, default=""),
    Column("lease_until", Float, nullable=False, default=0.0),
    Column("queued_at", Float, nullable=False, default=0.0),
    # Earliest time of the next attempt. Some old ledgers lack its default and the one of
    # `unreachable`, so both are also given with each row.
    Column("due_at", Float, nullable=False, default=0.0, server_default="0"),
    Column("pruned_at", Float, nullable=False, server_default="0"),  # 0: the images are stored
    Column("pruning", Boolean, nullable=False, server_default=false()),  # images are being removed
    Column("summary", Text),
    Column("accession_number", ExternalText(64), nullable=False, server_default=""),
    Column("flag", String(16)),  # the root flag; NULL: not assessed
    Index("studies_by_state", "state"),
    Index("studies_by_accession", "accession_number"),
    Index("studies_by_time", "first_instance_at"),
)

instances = Table(
    "instances",
    metadata,
    Column("study_uid", String(64), primary_key=True),
    Column("sop_instance_uid", String(64), primary_key=True),
    Column("series_uid", String(64), nullable=False),
    Column("sop_class_uid", String(64), nullable=False),
    Column("modality", ExternalText(16), nullable=False),
    Column("path", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("revision", Integer, nullable=False),  # the first revision with it
    Column("calling_ae", ExternalText(16), nullable=False),
    Column("address", ExternalText(64), nullable=False),
    Column("received_at", Float, nullable=False),
    Column("cardiac_images", Integer, nullable=False, server_default="0"),  # 0: not announced
    Column("place", ExternalText(64), nullable=False, server_default=""),
    # for storage commitment requests, and to find the same UID in another study
    Index("instances_by_uid", "sop_instance_uid"),
)

#: Received storage commitment requests, until their report is sent.
commitments = Table(
    "commitments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("requestor", String(16), nullable=False),
    Column("transaction_uid", String(64), nullable=False),
    Column("content", Text, nullable=False),  # [[SOP class, SOP instance], ...] as JSON
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_at", Float, nullable=False),
    UniqueConstraint("requestor", "transaction_uid"),
    sqlite_autoincrement=True,  # the id of a request being reported must not be reused
)

#: Storage commitment requests sent to archives. Rows are kept: a report may arrive late.
commitment_requests = Table(
    "commitment_requests",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("transaction_uid", String(64), nullable=False, unique=True),
    Column("delivery_id", Integer, nullable=False),
    Column("after_sending", Boolean, nullable=False),  # False: a repeated request
    Column("asked_at", Float, nullable=False),
    ForeignKeyConstraint(["delivery_id"], ["deliveries.id"]),
    Index("commitment_requests_by_delivery", "delivery_id"),
)

#: Announcements of studies: procedure steps (MPPS) and instance availability notifications.
announcements = Table(
    "announcements",
    metadata,
    Column("uid", String(64), primary_key=True),
    Column("study_uid", String(64), nullable=False),  # "": several studies, so it is not used
    Column("stage", String(16), nullable=False),
    Column("at", Float, nullable=False),
    Index("announcements_by_study", "study_uid"),
    Index("announcements_by_time", "at"),
)

announced_instances = Table(
    "announced_instances",
    metadata,
    Column("uid", String(64), primary_key=True),  # the announcement
    Column("sop_instance_uid", String(64), primary_key=True),
    ForeignKeyConstraint(["uid"], ["announcements.uid"]),
)

history = Table(
    "history",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_uid", String(64), nullable=False, index=True),
    Column("revision", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("event", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", ExternalText(), nullable=False),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("detail", ExternalText(), nullable=False),
    Column("calling_ae", ExternalText(16), nullable=False),
    Column("address", ExternalText(64), nullable=False),
    Column("path", ExternalText(), nullable=False),
    Column("times", Integer, nullable=False, server_default="1"),  # `at` is the latest
)

products = Table(
    "products",
    metadata,
    Column("sop_instance_uid", String(64), primary_key=True),
    Column("study_uid", String(64), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("sop_class_uid", String(64), nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("media_type", String(64), nullable=False, server_default="application/dicom"),
    Column("alternative_to", String(64), nullable=False, server_default=""),
    Column("made_at", Float, nullable=False),
    ForeignKeyConstraint(["study_uid", "revision"], ["studies.study_uid", "studies.revision"]),
    Index("products_by_study", "study_uid", "revision"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sop_instance_uid", String(64), nullable=False),
    Column("study_uid", String(64), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("destination", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("last_answer", ExternalText(), nullable=False, default=""),
    Column("due_at", Float, nullable=False),
    # Result of the last attempt.
    Column("unreachable", Boolean, nullable=False, default=False, server_default=false()),
    Column("unreachable_since", Float, nullable=False, server_default="0"),
    Column("unclear_attempts", Integer),  # that may have been accepted; NULL: none
    Column("lease_until", Float, nullable=False, default=0.0),
    Column("queued_at", Float, nullable=False, default=0.0),
    Column("changed_at", Float, nullable=False),
    UniqueConstraint("sop_instance_uid", "destination"),
    ForeignKeyConstraint(["sop_instance_uid"], ["products.sop_instance_uid"]),
    Index("deliveries_by_state", "state"),
    Index("deliveries_by_study", "study_uid", "revision"),
)


def case_columns() -> list[Column[Any]]:
    """Return the columns that describe a case, for the table of any library."""
    return [
        Column("patient", String(64), nullable=False),
        Column("study_date", String(DATE_MAX), nullable=False),
        Column("vendor", String(VENDOR_MAX), nullable=False),
        Column("found", Text, nullable=False),  # "|a|b|": flagged or confirmed finding ids
        Column("confirmed", Text, nullable=False),  # "|b|"
        Column("content", Text, nullable=False),  # the case as JSON
    ]


#: The next free row in a bundle's vector file; rows of removed cases are never reused.
case_rows = Table(
    "case_rows",
    metadata,
    Column("bundle", String(64), primary_key=True),
    Column("next", Integer, nullable=False),
    Column("width", Integer, nullable=False),  # numbers per vector
)

cases = Table(
    "cases",
    metadata,
    Column("bundle", String(64), primary_key=True),  # the bundle's digest
    Column("study_uid", String(64), primary_key=True),
    Column("row", Integer, nullable=False),  # in the bundle's vector file
    *case_columns(),
    UniqueConstraint("bundle", "row"),
    Index("cases_by_patient", "patient"),
)

#: Digests of the keys of forgotten patients; their cases must not be stored again.
forgotten = Table(
    "forgotten",
    metadata,
    Column("patient", String(64), primary_key=True),
)

#: Findings defined by example cases, as fitted for a bundle.
fittings = Table(
    "fittings",
    metadata,
    Column("bundle", String(64), primary_key=True),
    Column("finding", String(32), primary_key=True),
    Column("patients", Text, nullable=False),  # "|a|b|": patients of the example cases
    Column("content", Text, nullable=False),  # as JSON
)


@event.listens_for(fittings, "after_create")
def _keep_no_statistics(_table: Table, connection: Connection, **_: Any) -> None:
    """Statistics of PostgreSQL would be copies of values that identify patients."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(
            "ALTER TABLE fittings ALTER patients SET STATISTICS 0, ALTER content SET STATISTICS 0"
        )


#: The last heartbeat of each process of the site.
heartbeats = Table(
    "heartbeats",
    metadata,
    Column("machine", String(64), primary_key=True),
    Column("pid", Integer, primary_key=True),
    Column("role", String(32), nullable=False),
    Column("started_at", Float, nullable=False),
    Column("beat_at", Float, nullable=False),
    Column("listening_since", Float, nullable=False, server_default="0"),
)

#: The versions of findings, to which changes append (`triage.domain.finding_version`).
finding_versions = Table(
    "finding_versions",
    metadata,
    Column("id", Integer, primary_key=True),  # increases with every change
    Column("finding", String(32), nullable=False),
    Column("number", Integer, nullable=False),
    Column("change", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reported", Integer),
    Column("content", Text, nullable=False),  # as JSON
    Column("digest", String(64), nullable=False),  # of the content
    Column("author", ExternalText(), nullable=False),
    Column("at", Float, nullable=False),
    Column("comment", ExternalText(), nullable=False),
    Column("asked_by", ExternalText(), nullable=False),
    Column("calibration", Text),  # of the site, as JSON
    UniqueConstraint("finding", "number"),
)

#: The statements of the last report on a study about its findings.
outcomes = Table(
    "outcomes",
    metadata,
    Column("study_uid", String(64), primary_key=True),
    Column("finding", String(32), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("sentence", ExternalText(1300), nullable=False),
    Column("rank", Integer, nullable=False),
    Column("moment", ExternalText(32), nullable=False),
    Column("at", Float, nullable=False),
)

#: Messages with reports that were acknowledged, to know one that is sent again.
report_messages = Table(
    "report_messages",
    metadata,
    Column("sender", String(128), primary_key=True),
    Column("control_id", String(200), primary_key=True),
    Column("results", Text, nullable=False),  # one line for each report
    Column("at", Float, nullable=False),
    Index("report_messages_by_time", "at"),
)
