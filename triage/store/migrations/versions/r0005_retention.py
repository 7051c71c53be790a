"""Adds the time of image removal per study, and the mark of a removal in progress."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns `studies.pruned_at` and `studies.pruning`."""
    op.add_column("studies", sa.Column("pruned_at", sa.Float, nullable=False, server_default="0"))
    op.add_column(
        "studies", sa.Column("pruning", sa.Boolean, nullable=False, server_default=sa.false())
    )
