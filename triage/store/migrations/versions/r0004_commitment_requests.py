"""Adds the storage commitment requests that are sent to archives."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the table `commitment_requests`."""
    op.create_table(
        "commitment_requests",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("transaction_uid", sa.String(64), nullable=False, unique=True),
        sa.Column("delivery_id", sa.Integer, nullable=False),
        sa.Column("after_sending", sa.Boolean, nullable=False),
        sa.Column("asked_at", sa.Float, nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"]),
    )
    op.create_index("commitment_requests_by_delivery", "commitment_requests", ["delivery_id"])
