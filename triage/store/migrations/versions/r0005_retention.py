"""When the images of a study were removed, and whether they go just now."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Remember of each study whether its images are here."""
    op.add_column("studies", sa.Column("pruned_at", sa.Float, nullable=False, server_default="0"))
    op.add_column(
        "studies", sa.Column("pruning", sa.Boolean, nullable=False, server_default=sa.false())
    )
