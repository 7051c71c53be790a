"""Adds the count of lost workers per study and the start of a destination's outage."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns `studies.orphaned` and `deliveries.unreachable_since`."""
    op.add_column("studies", sa.Column("orphaned", sa.Integer, nullable=False, server_default="0"))
    op.add_column(
        "deliveries", sa.Column("unreachable_since", sa.Float, nullable=False, server_default="0")
    )
