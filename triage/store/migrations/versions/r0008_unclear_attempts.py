"""Adds the number of attempts of a delivery that its destination may have accepted."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the column `deliveries.unclear_attempts`."""
    op.add_column("deliveries", sa.Column("unclear_attempts", sa.Integer))
