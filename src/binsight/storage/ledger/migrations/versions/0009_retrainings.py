"""Retrainings, who may retrain at this moment, and whether what was promoted is still watched."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "retrainings",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("begun_at", sa.String(32), nullable=False),
        sa.Column("begun_by", sa.String(200), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("inputs_sha256", sa.String(64), nullable=False),
        sa.Column("num_counts", sa.BigInteger, nullable=False),
        sa.Column("champion", sa.String(12), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("step", sa.String(20), nullable=False),
        sa.Column("changed_at", sa.String(32), nullable=False),
        sa.Column("sentence", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("challenger", sa.String(12)),
        sa.Column("watch", sa.String(20)),
        sa.Column("alias", sa.String(40)),
        sa.Column("revision", sa.Integer),
    )
    op.create_index("retrainings_by_time", "retrainings", ["begun_at", "id"])
    op.create_index("retrainings_by_watch", "retrainings", ["watch"])
    op.create_table(
        "turns",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("holder", sa.String(36), nullable=False),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("beats", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "marks",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("at", sa.String(32), nullable=False),
    )
