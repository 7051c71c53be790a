"""Adds the accession number and the root flag of a study, for `triage status`.

The flags of studies that were assessed before are taken from their summaries.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

studies = sa.table("studies", sa.column("summary", sa.Text), sa.column("flag", sa.String))
FLAGS = ("Yes", "No", "Not Evaluated")  #: the first that any finding has is the root flag


def upgrade() -> None:
    """Add the columns `studies.accession_number` and `studies.flag`, and an index by time."""
    accession_number = sa.Column(
        "accession_number", sa.String(64), nullable=False, server_default=""
    )
    op.add_column("studies", accession_number)
    op.add_column("studies", sa.Column("flag", sa.String(16)))
    op.create_index("studies_by_time", "studies", ["first_instance_at"])
    for flag in FLAGS:
        flagged = studies.c.summary.contains(f'"flag":"{flag}"')
        op.execute(studies.update().where(flagged, studies.c.flag.is_(None)).values(flag=flag))
