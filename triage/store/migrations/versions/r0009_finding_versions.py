"""Adds the versions of findings."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create the table `finding_versions`."""
    op.create_table(
        "finding_versions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("finding", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("change", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reported", sa.Integer),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.UniqueConstraint("finding", "number"),
    )
