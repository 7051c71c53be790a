"""Adds the tables and columns of the releases before revisions existed, if missing.

A ledger has some of these already, depending on the releases that have opened it.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

COLUMNS: dict[str, list[sa.Column[Any]]] = {
    "studies": [sa.Column("due_at", sa.Float, nullable=False, server_default="0")],
    "instances": [
        sa.Column("cardiac_images", sa.Integer, nullable=False, server_default="0"),
        sa.Column("place", sa.String(64), nullable=False, server_default=""),
    ],
    "incidents": [sa.Column("times", sa.Integer, nullable=False, server_default="1")],
    "products": [
        sa.Column("media_type", sa.String(64), nullable=False, server_default="application/dicom"),
        sa.Column("alternative_to", sa.String(64), nullable=False, server_default=""),
    ],
    "deliveries": [sa.Column("unreachable", sa.Boolean, nullable=False, server_default=sa.false())],
}
INDEXES = {
    "instances_by_uid": ("instances", ["sop_instance_uid"]),
    "products_by_study": ("products", ["study_uid", "revision"]),
    "deliveries_by_study": ("deliveries", ["study_uid", "revision"]),
}


def upgrade() -> None:
    """Add every missing table, column and index to a ledger without a revision."""
    existing = sa.inspect(op.get_bind())
    for table, columns in COLUMNS.items():
        known = {column["name"] for column in existing.get_columns(table)}
        for column in columns:
            if column.name not in known:
                op.add_column(table, column)
    for name, (table, names) in INDEXES.items():
        op.create_index(name, table, names, if_not_exists=True)
    _commitments()
    _announcements()
    _cases()
    _fittings()


def _commitments() -> None:
    op.create_table(
        "commitments",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("requestor", sa.String(16), nullable=False),
        sa.Column("transaction_uid", sa.String(64), nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("due_at", sa.Float, nullable=False),
        sa.UniqueConstraint("requestor", "transaction_uid"),
        sqlite_autoincrement=True,
        if_not_exists=True,
    )


def _announcements() -> None:
    op.create_table(
        "announcements",
        sa.Column("uid", sa.String(64), primary_key=True),
        sa.Column("study_uid", sa.String(64), nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        if_not_exists=True,
    )
    op.create_index("announcements_by_study", "announcements", ["study_uid"], if_not_exists=True)
    op.create_index("announcements_by_time", "announcements", ["at"], if_not_exists=True)
    op.create_table(
        "announced_instances",
        sa.Column("uid", sa.String(64), primary_key=True),
        sa.Column("sop_instance_uid", sa.String(64), primary_key=True),
        sa.ForeignKeyConstraint(["uid"], ["announcements.uid"]),
        if_not_exists=True,
    )


def _cases() -> None:
    op.create_table(
        "case_rows",
        sa.Column("bundle", sa.String(64), primary_key=True),
        sa.Column("next", sa.Integer, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "cases",
        sa.Column("bundle", sa.String(64), primary_key=True),
        sa.Column("study_uid", sa.String(64), primary_key=True),
        sa.Column("row", sa.Integer, nullable=False),
        sa.Column("patient", sa.String(64), nullable=False),
        sa.Column("study_date", sa.String(8), nullable=False),
        sa.Column("vendor", sa.String(64), nullable=False),
        sa.Column("found", sa.Text, nullable=False),
        sa.Column("confirmed", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.UniqueConstraint("bundle", "row"),
        if_not_exists=True,
    )
    op.create_index("cases_by_patient", "cases", ["patient"], if_not_exists=True)
    # A case library in the same database may have created this table already.
    op.create_table(
        "forgotten", sa.Column("patient", sa.String(64), primary_key=True), if_not_exists=True
    )


def _fittings() -> None:
    op.create_table(
        "fittings",
        sa.Column("bundle", sa.String(64), primary_key=True),
        sa.Column("finding", sa.String(32), primary_key=True),
        sa.Column("patients", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        if_not_exists=True,
    )
    if op.get_bind().dialect.name == "postgresql":
        # Statistics would be copies of values that identify patients.
        op.execute(
            "ALTER TABLE fittings ALTER patients SET STATISTICS 0, ALTER content SET STATISTICS 0"
        )
