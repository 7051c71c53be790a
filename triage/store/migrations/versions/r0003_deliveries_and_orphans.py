"""How often a study's workers fell silent, and since when a destination does not answer."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add what is counted from now on."""
    op.add_column("studies", sa.Column("orphaned", sa.Integer, nullable=False, server_default="0"))
    op.add_column(
        "deliveries", sa.Column("unreachable_since", sa.Float, nullable=False, server_default="0")
    )
