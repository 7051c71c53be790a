"""Adds the outcomes of reports."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Create the tables `outcomes` and `report_messages`."""
    op.create_table(
        "outcomes",
        sa.Column("study_uid", sa.String(64), primary_key=True),
        sa.Column("finding", sa.String(32), primary_key=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("sentence", sa.String(1300), nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("moment", sa.String(32), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_table(
        "report_messages",
        sa.Column("sender", sa.String(128), primary_key=True),
        sa.Column("control_id", sa.String(200), primary_key=True),
        sa.Column("results", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_index("report_messages_by_time", "report_messages", ["at"])
    op.create_index("studies_by_accession", "studies", ["accession_number"])
