"""Adds the heartbeats of the processes of a site."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the table `heartbeats`."""
    op.create_table(
        "heartbeats",
        sa.Column("machine", sa.String(64), primary_key=True),
        sa.Column("pid", sa.Integer, primary_key=True),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("beat_at", sa.Float, nullable=False),
        sa.Column("listening_since", sa.Float, nullable=False, server_default="0"),
    )
