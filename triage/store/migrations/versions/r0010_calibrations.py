"""Adds the site's calibration to the versions of findings."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Create the column `finding_versions.calibration`."""
    op.add_column("finding_versions", sa.Column("calibration", sa.Text))
